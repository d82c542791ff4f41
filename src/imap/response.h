#ifndef IMAP_RESPONSE_H
#define IMAP_RESPONSE_H

// Responses: how a session writes its lines. A line is collected in the session's buffer and sent whole; sending
// suspends while the client does not read.
// Owner: the session. Threads: its loop, in a task (imap_bye also outside).

#include "imap/session.h"

// The empty line buffer: put "* ..." into it, then imap_line_send, which adds CRLF. Suspends.
struct buf *imap_line(struct imap_session *s);
void imap_line_send(struct imap_session *s);
// sends what is collected so far, without CRLF (before streamed octets)
void imap_line_flush(struct imap_session *s);

// Octets of a line have left that does not end with them, or it has ended: nothing else may be said between.
void imap_line_opened(struct imap_session *s, bool open);

// Texts of responses are English here and are said in the session's language: they are rows of texts.def.
// "* " and CRLF are added
void imap_untagged(struct imap_session *s, const char *fmt, ...) PRINTF_LIKE(2, 3);
void imap_tagged_ok(struct imap_command *c);
bool imap_fault_is_bad(enum fault_kind kind);  // answered by BAD, else by NO
void imap_tagged_fault(struct imap_command *c, const struct fault *f);
// The same without a command, for what could not be framed: always BAD.
void imap_refused_send(struct imap_session *s, struct span tag, enum fault_kind kind);
// A line beside the one that is being written: "* OK " and a text.
void imap_say(struct imap_session *s, const char *head, const char *text);
// a constant text; ends the session
void imap_bye(struct imap_session *s, const char *text);

// "* 3 FETCH (", with `uid` "* 3 FETCH (UID 7 "; or "* 7 UIDFETCH (" (RFC 9586).
void imap_put_fetch(const struct imap_session *s, struct buf *b,
                    const struct view_message *m, bool uid);
// A member of the list that `b` ends in: its first one behind '(', or behind a space.
void imap_put_word(struct buf *b, struct span word);
// "MODSEQ (12)"
void imap_put_modseq(struct imap_session *s, struct buf *b, uint64_t modseq);
// "* OK [HIGHESTMODSEQ 12] Highest"
void imap_highest_send(struct imap_session *s, uint64_t modseq);
// "* VANISHED (EARLIER) 3:5,7"; nothing when there are none.
void imap_vanished_send(struct imap_session *s, bool earlier, const struct seqset *uids);
// "(\Seen \Recent $Forwarded)".
void imap_put_flags(struct buf *b, uint16_t flags, bool recent, const struct span *keywords,
                    size_t keyword_count);
// the answer of NAMESPACE; Suspends.
void imap_namespace_send(struct imap_session *s);
void imap_put_mailbox(const struct imap_session *s, struct buf *b, struct span name);
// Suspends. "* FLAGS (...)" and, when permanent, "* OK [PERMANENTFLAGS (...)]".
enum result imap_flags_send(struct imap_session *s, bool permanent, struct arena *a,
                            struct fault *f) MUST_CHECK;
// Suspends. "* 3 FETCH (UID 7 FLAGS (...))" of changed messages: UID and MODSEQ as the session's modes ask for.
enum result imap_fetch_flags_send(struct imap_session *s, const struct view_message *m,
                                  struct arena *a, struct fault *f) MUST_CHECK;
// "* 3 FETCH (UID 7 MODSEQ (12))"
void imap_fetch_modseq_send(struct imap_session *s, const struct view_message *m);

#endif
