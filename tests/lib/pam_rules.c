// A module of PAM for the tests: judges by a file of lines "name:password:code of auth:code of account:how".
#include <security/pam_ext.h>
#include <security/pam_modules.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct rule {
    char password[64], how[64];
    int auth, account;
};

static int
find(const char *path, const char *user, struct rule *out)
{
    char line[512], name[256];
    int found = 0;
    FILE *f = fopen(path, "re");
    while (f != NULL && !found && fgets(line, sizeof line, f) != NULL) {
        memset(out, 0, sizeof *out);
        found = sscanf(line, "%255[^:]:%63[^:]:%d:%d:%63s", name, out->password, &out->auth,
                       &out->account, out->how) >= 4 &&
                strcmp(name, user) == 0;
    }
    if (f != NULL)
        fclose(f);
    return found;
}

static void
note(pam_handle_t *h, const char *path, const char *user)
{
    const void *host = NULL, *tty = NULL;
    FILE *f = fopen(path, "ae");
    (void)pam_get_item(h, PAM_RHOST, &host);
    (void)pam_get_item(h, PAM_TTY, &tty);
    if (f == NULL)
        return;
    fprintf(f, "%s %s %s\n", user, host ? (const char *)host : "-",
            tty ? (const char *)tty : "-");
    fclose(f);
}

static int
act(pam_handle_t *h, const char *how, const char *token)
{
    char *more = NULL;
    if (strcmp(how, "helper") == 0 && fork() == 0)
        (void)setsid();
    while (strcmp(how, "hang") == 0 || strcmp(how, "helper") == 0)
        (void)pause();
    if (strcmp(how, "crash") == 0)
        (void)raise(SIGKILL);
    if (strcmp(how, "exit") == 0)
        _exit(0);
    if (strncmp(how, "rename=", 7) == 0)
        return pam_set_item(h, PAM_USER, how + 7);
    if (strcmp(how, "echo") == 0)
        return pam_prompt(h, PAM_PROMPT_ECHO_ON, &more, "Code: ");
    if (strcmp(how, "twice") == 0 &&
        (pam_prompt(h, PAM_PROMPT_ECHO_OFF, &more, "Password: ") != PAM_SUCCESS ||
         strcmp(more, token) != 0))
        return PAM_AUTH_ERR;
    free(more);
    return PAM_SUCCESS;
}

int
pam_sm_authenticate(pam_handle_t *h, int flags, int argc, const char **argv)
{
    const char *user = NULL, *token = NULL;
    struct rule rule;
    (void)flags;
    if (argc != 2 || pam_get_user(h, &user, NULL) != PAM_SUCCESS)
        return PAM_SERVICE_ERR;
    note(h, argv[1], user);
    if (!find(argv[0], user, &rule))
        return PAM_USER_UNKNOWN;
    (void)pam_fail_delay(h, 20000000);
    if (pam_get_authtok(h, PAM_AUTHTOK, &token, NULL) != PAM_SUCCESS)
        return PAM_AUTHTOK_RECOVERY_ERR;
    int code = act(h, rule.how, token);
    if (code != PAM_SUCCESS || rule.auth != PAM_SUCCESS)
        return code != PAM_SUCCESS ? code : rule.auth;
    return strcmp(token, rule.password) == 0 ? PAM_SUCCESS : PAM_AUTH_ERR;
}

int
pam_sm_setcred(pam_handle_t *h, int flags, int argc, const char **argv)
{
    (void)h, (void)flags, (void)argc, (void)argv;
    return PAM_SUCCESS;
}

int
pam_sm_acct_mgmt(pam_handle_t *h, int flags, int argc, const char **argv)
{
    const char *user = NULL;
    struct rule rule;
    (void)flags;
    if (argc != 2 || pam_get_user(h, &user, NULL) != PAM_SUCCESS)
        return PAM_SERVICE_ERR;
    // whom a module renamed is known, too
    return find(argv[0], user, &rule) ? rule.account : PAM_SUCCESS;
}
