// RFC 8514: SAVEDATE, when a message came into this mailbox. Every mailbox has it. Days are UTC.
#include "imap/fetch.h"
#include "imap/search.h"

static enum result
put_savedate(struct imap_fetch_run *run, const struct imap_fetch_want *w, struct fault *f)
{
    (void)w;
    (void)f;
    buf_put(run->line, SPAN("SAVEDATE \""));
    date_time_print(run->line, (struct date_time){run->message->row.save_date, 0});
    buf_put_char(run->line, '"');
    return R_OK;
}

static const struct imap_fetch_item savedate = {0, NULL, put_savedate};
static const struct imap_search_key before = {QUERY_SAVED_BEFORE, false, 0,
                                              imap_search_day},
                                    on = {QUERY_SAVED_ON, false, 0, imap_search_day},
                                    since = {QUERY_SAVED_SINCE, false, 0, imap_search_day},
                                    supported = {QUERY_ALL, false, 0, NULL};

static const struct imap_word words[] = {
    {SLOT_FETCH, "SAVEDATE", 0, {.fetch = &savedate}},
    {SLOT_SEARCH, "SAVEDBEFORE", 0, {.search = &before}},
    {SLOT_SEARCH, "SAVEDON", 0, {.search = &on}},
    {SLOT_SEARCH, "SAVEDSINCE", 0, {.search = &since}},
    {SLOT_SEARCH, "SAVEDATESUPPORTED", 0, {.search = &supported}},
    {0},
};

const struct imap_ext imap_ext_savedate = {
    .name = "savedate",
    .rfc = "RFC 8514",
    .capability = "SAVEDATE",
    .words = words,
};
