#ifndef CTL_VERBS_H
#define CTL_VERBS_H

// The functions that the rows of verbs.def name. verb_serve, verb_demo and verb_config_check are in src/main.

#include "ctl/verb.h"

enum { EXIT_USAGE = 2 };  // wrong words, wrong options

// Arguments of the verb `restore` where a store is: "read" out of the backup's, or "write" into the account.
enum restore_arg {
    RESTORE_MODE,
    RESTORE_USER,
    RESTORE_FOLDER,
    RESTORE_UID,
    RESTORE_MESSAGE_ID,
    RESTORE_EMAILID,
    RESTORE_TO,
    RESTORE_DRY_RUN,
    RESTORE_ARGS
};

// The configuration that -c and --data (or their absence) mean.
enum result verb_config(const struct verb_options *o, struct config **c_out,
                        struct fault *f) MUST_CHECK;

verb_local_fn verb_demo, verb_serve, verb_help, verb_rebuild, verb_restore,
    verb_capabilities, verb_config_check, verb_config_dump, verb_dns, verb_doctor,
    verb_sieve_check, verb_sieve_test, verb_import_local;
verb_run_fn verb_acl_set, verb_acl_list, verb_acl_delete, verb_mailbox_create, verb_users,
    verb_user_load, verb_user_set, verb_user_show, verb_user_password_add, verb_address,
    verb_address_list, verb_mailbox_list, verb_mailbox_undelete, verb_mailbox_appendlimit,
    verb_mailbox_index, verb_mailbox_labels, verb_verify, verb_compact, verb_backup,
    verb_demo_mail, verb_demo_account, verb_status, verb_who, verb_kick, verb_auth_test,
    verb_rawlog, verb_reload, verb_expire, verb_import, verb_export, verb_restore_part,
    verb_attachments, verb_quota_show, verb_quota_set, verb_quota_list;
verb_run_fn verb_user_delete, verb_group_delete, verb_user_undelete;
verb_run_fn verb_queue, verb_queue_add;
verb_run_fn verb_quarantine_list, verb_quarantine_show, verb_quarantine_release,
    verb_quarantine_delete;
verb_run_fn verb_sieve_list, verb_sieve_show, verb_sieve_put, verb_sieve_delete,
    verb_sieve_rename, verb_sieve_activate, verb_sieve_deactivate, verb_sieve_filter;
verb_feed_fn feed_password, feed_file, feed_import, feed_restore, feed_script, feed_filter;
verb_sink_fn sink_file, sink_nothing, sink_export, sink_script, sink_pull;
// The verb failed: what sink_file made goes.
void sink_file_drop(struct verb_client *c);

// One line of standard input, without echo on a terminal; size: LIMIT_password + 3.
enum result feed_read_password(char *out, size_t size, size_t *n_out,
                               struct fault *f) MUST_CHECK;

#endif
