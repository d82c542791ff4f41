#include "store/gather.h"

enum {
    WAIT_SHARE = 3,  // of a round's time: a wait takes a third of it at most
    WAIT_MOST_US = 3000,
    PAUSE_MOST = 64,
};

void
gather_round(struct gather *g, unsigned written, unsigned waiting, uint64_t took_us,
             uint64_t now_us)
{
    unsigned all = written + waiting;
    g->round_us = g->round_us > 0 ? (g->round_us * 7 + took_us) / 8 : took_us;
    uint64_t most_us = g->round_us / WAIT_SHARE;
    g->wanted = all - all / 4;
    g->until_us = now_us + (most_us < WAIT_MOST_US ? most_us : WAIT_MOST_US);
    if (g->passes > 0) {
        g->passes--;
        g->wanted = 0;
    }
}

uint64_t
gather_wait_us(const struct gather *g, unsigned waiting, uint64_t now_us)
{
    if (g->wanted < 2 || waiting >= g->wanted || now_us >= g->until_us)
        return 0;
    return g->until_us - now_us;
}

void
gather_waited(struct gather *g, unsigned waiting)
{
    if (waiting >= g->wanted) {
        g->pause = 0;
        return;
    }
    g->pause = g->pause > 0 ? g->pause * 2 : 1;
    if (g->pause > PAUSE_MOST)
        g->pause = PAUSE_MOST;
    g->passes = g->pause;
}
