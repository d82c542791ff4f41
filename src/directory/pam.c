#include "directory/pam.h"
#include "base/limits.h"
#include "io/message.h"

#include <errno.h>
#include <pwd.h>
#include <security/pam_appl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    PROMPTS_MAX = 4,  // of modules that each ask for themselves
    RECORD_MAX = 1048576,
    UID_NOBODY = 65534,
    UID_NONE_16 = 65535
};

struct talk {
    const char *password;  // NULL: nothing is answered
    unsigned prompts;
};

// ---- the conversation ----

// What is asked for visibly is no password; and nobody is here who could be told anything.
static int
answer_one(struct talk *t, const struct pam_message *m, struct pam_response *out)
{
    if (m->msg_style == PAM_TEXT_INFO || m->msg_style == PAM_ERROR_MSG)
        return PAM_SUCCESS;
    if (m->msg_style != PAM_PROMPT_ECHO_OFF || t->password == NULL ||
        t->prompts++ >= PROMPTS_MAX)
        return PAM_CONV_ERR;
    out->resp = strdup(t->password);
    return out->resp != NULL ? PAM_SUCCESS : PAM_BUF_ERR;
}

static void
wipe_answers(struct pam_response *r, int n)
{
    for (int i = 0; i < n; i++) {
        if (r[i].resp != NULL)
            explicit_bzero(r[i].resp, strlen(r[i].resp));
        free(r[i].resp);
    }
    free(r);
}

static int
converse(int n, const struct pam_message **messages, struct pam_response **out, void *arg)
{
    int code = PAM_SUCCESS;
    if (n <= 0 || n > PAM_MAX_NUM_MSG)
        return PAM_CONV_ERR;
    struct pam_response *r = calloc((size_t)n, sizeof *r);
    if (r == NULL)
        return PAM_BUF_ERR;
    for (int i = 0; i < n && code == PAM_SUCCESS; i++)
        code = answer_one(arg, messages[i], &r[i]);
    if (code == PAM_SUCCESS)
        *out = r;
    else
        wipe_answers(r, n);
    return code;
}

// ---- the name service ----

static int
find_in_file(const char *path, const char *name, struct passwd *p, char *record,
             struct passwd **out)
{
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return EIO;
    int failed;
    do
        failed = fgetpwent_r(file, p, record, RECORD_MAX, out);
    while (failed == 0 && strcmp(p->pw_name, name) != 0);
    fclose(file);
    return failed;
}

static bool
is_system(const struct pam_settings *s, uid_t uid)
{
    return uid == 0 || uid < s->uid_min || uid == UID_NOBODY || uid == UID_NONE_16 ||
           uid == (uid_t)-1;
}

// Another spelling of the name is not the name: nobody has two accounts here.
static enum result
find(const struct pam_settings *s, const char *name, struct pam_said *out)
{
    struct passwd p, *found = NULL;
    char *record = calloc(1, RECORD_MAX);
    if (record == NULL)
        return R_FAIL;
    int failed = s->passwd[0] ? find_in_file(s->passwd, name, &p, record, &found)
                              : getpwnam_r(name, &p, record, RECORD_MAX, &found);
    bool there = failed == 0 && found != NULL && strcmp(found->pw_name, name) == 0 &&
                 !is_system(s, found->pw_uid);
    free(record);
    if (there)
        return R_OK;
    if (failed == 0 || failed == ENOENT || failed == ESRCH)
        return R_NONE;
    snprintf(out->why, sizeof out->why, "the name service: %s", strerror(failed));
    return R_FAIL;
}

// ---- PAM ----

static void
no_delay(int code, unsigned microseconds, void *arg)
{
    (void)code, (void)microseconds, (void)arg;  // auth paces refusals
}

static pam_handle_t *
begin(const struct pam_settings *s, const char *name, const struct pam_conv *conversation,
      int *code_out)
{
    pam_handle_t *h = NULL;
    *code_out = s->confdir[0]
                    ? pam_start_confdir(s->service, name, conversation, s->confdir, &h)
                    : pam_start(s->service, name, conversation, &h);
    if (*code_out == PAM_SUCCESS)
        *code_out = pam_set_item(h, PAM_TTY, "posthorn");
    if (*code_out == PAM_SUCCESS)
        *code_out = pam_set_item(h, PAM_FAIL_DELAY, (const void *)no_delay);
    return h;
}

// A module may have found somebody else.
static bool
is_still(pam_handle_t *h, const char *name)
{
    const void *now = NULL;
    return pam_get_item(h, PAM_USER, &now) == PAM_SUCCESS && now != NULL &&
           strcmp(now, name) == 0;
}

static uint8_t
verdict_of(int code)
{
    switch (code) {
    case PAM_SUCCESS:
        return DIRECTORY_FOUND;
    case PAM_AUTH_ERR:
    case PAM_USER_UNKNOWN:
    case PAM_PERM_DENIED:
    case PAM_CONV_ERR:  // it wants more than a password
    case PAM_ACCT_EXPIRED:
    case PAM_NEW_AUTHTOK_REQD:
    case PAM_AUTHTOK_EXPIRED:
        return DIRECTORY_WRONG;
    default:  // PAM_MAXTRIES, PAM_AUTHINFO_UNAVAIL, PAM_SYSTEM_ERR, ...
        return DIRECTORY_LATER;
    }
}

static void
say(struct pam_said *out, pam_handle_t *h, const char *step, int code)
{
    out->verdict = verdict_of(code);
    bool usual = code == PAM_SUCCESS || (out->verdict == DIRECTORY_WRONG &&
                                         code != PAM_CONV_ERR && step[0] == 'p');
    if (!usual)
        snprintf(out->why, sizeof out->why, "%s: %s", step, pam_strerror(h, code));
}

static void
judge(pam_handle_t *h, const char *name, struct talk *talk, const char *remote,
      struct pam_said *out)
{
    int code = remote[0] ? pam_set_item(h, PAM_RHOST, remote) : PAM_SUCCESS;
    if (code == PAM_SUCCESS)
        code = pam_authenticate(h, PAM_SILENT | PAM_DISALLOW_NULL_AUTHTOK);
    say(out, h, "password", code);
    if (code != PAM_SUCCESS)
        return;
    talk->password = NULL;
    say(out, h, "account", pam_acct_mgmt(h, PAM_SILENT | PAM_DISALLOW_NULL_AUTHTOK));
    if (out->verdict == DIRECTORY_FOUND && !is_still(h, name)) {
        out->verdict = DIRECTORY_WRONG;
        snprintf(out->why, sizeof out->why, "a module named another user");
    }
}

// Only that it is expired counts for somebody who is not logging in: all else may depend on the hour, or on the client.
static void
look_at_account(pam_handle_t *h, struct pam_said *out)
{
    out->disabled = pam_acct_mgmt(h, PAM_SILENT) == PAM_ACCT_EXPIRED;
}

static void
ask_modules(const struct pam_settings *s, const char *name, char *password,
            const char *remote, struct pam_said *out)
{
    struct talk talk = {.password = password};
    const struct pam_conv conversation = {converse, &talk};
    int code;
    pam_handle_t *h = begin(s, name, &conversation, &code);
    if (code != PAM_SUCCESS) {
        out->verdict = DIRECTORY_LATER;
        snprintf(out->why, sizeof out->why, "PAM cannot be asked: %s",
                 pam_strerror(h, code));
    } else if (password != NULL) {
        judge(h, name, &talk, remote, out);
    } else {
        look_at_account(h, out);
    }
    if (h != NULL)
        (void)pam_end(h, code);  // nothing is left to be told of it
}

// ---- the question ----

// False: it does not fit, or would be cut short where it has a NUL.
static bool
put_text(struct span s, char *out, size_t size)
{
    if (s.n >= size || span_find_char(s, '\0') < s.n)
        return false;
    memcpy(out, s.n > 0 ? s.p : "", s.n);
    out[s.n] = '\0';
    return true;
}

void
pam_ask(const struct pam_settings *s, const struct pam_question *q, struct pam_said *out)
{
    char name[LIMIT_user_name + 1], remote[64], password[LIMIT_password + 1];
    *out = (struct pam_said){.verdict = q->verify ? DIRECTORY_WRONG : DIRECTORY_NONE};
    // ':' ends a name in the files of both; an empty password is no password
    if (!put_text(q->name, name, sizeof name) || strchr(name, ':') != NULL ||
        !put_text(q->remote, remote, sizeof remote) ||
        (q->verify &&
         (q->password.n == 0 || !put_text(q->password, password, sizeof password))))
        return;
    switch (find(s, name, out)) {
    case R_OK:
        out->verdict = DIRECTORY_FOUND;
        ask_modules(s, name, q->verify ? password : NULL, remote, out);
        break;
    case R_FAIL:
        out->verdict = DIRECTORY_LATER;
        break;
    case R_NONE:
        break;
    }
    if (q->verify)
        explicit_bzero(password, sizeof password);
}
