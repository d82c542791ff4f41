#ifndef MAIL_FOLDERS_H
#define MAIL_FOLDERS_H

// The folders every account has from the start, in the language of the settings.

#include "mail/home.h"
#include "mail/tree.h"

// Suspends. Makes a new account: ACCOUNT, INBOX and the standard folders, subscribed, as one batch.
enum result folders_create(struct account *a, struct span language,
                           struct fault *f) MUST_CHECK;

const struct mail_options *mail_options_get(const struct mail *m);

#endif
