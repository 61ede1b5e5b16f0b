/* linkstate/engine_internal.h — what the files of the engine share; nobody else includes it.
 *
 *   engine.c            life, events, time
 *   engine_adjacency.c  the state machine of a neighbour
 *   engine_flood.c      taking records in, passing them on, acknowledgements
 *   engine_sync.c       comparing tables
 *   engine_date.c       how old a record is by what its group has signed
 *   engine_floor.c      what was dropped, and asking for something newer */
#pragma once
#include "linkstate/engine.h"

/* What goes out together: the first message is short, each that follows at once twice as long. A neighbour
 * counts as dead when no message has come in whole for two keep-alives: over a slow line some of a large
 * table gets through before that, and what has is not sent again. A single record may be larger. */
enum { BATCH_BYTES = 4096, BATCH_BYTES_MAX = 65536 };

/* After a purge mail for the group waits for two refreshes: one that lives has refreshed by then, whether the
 * question for it has arrived or not. Questions go out after 1, 2, 4 and then every 8 retransmit_ms; each is
 * passed on once, and so many different ones at a time. */
enum { FLOOR_HOLD_PARTS = 2, FLOOR_ASK_MOST = 8, FLOOR_WISHES = 64, FLOOR_STEPS_MOST = 64 };
/* Seconds since 1970. Smaller sequences are no dates; what clocks may differ by, without any effect. */
enum { DATE_MIN_S = 1000000000, DATE_SKEW_S = 86400 };
struct wish { /* passed on, and not again until then */
    char group[RECORD_NAME_MAX + 1];
    struct ls_version version;
    ms_t until_ms;
};
struct pending { /* a record on its way to a neighbour */
    uint32_t slot;
    bool with_body;
    struct ls_version version;
    ms_t due_ms, interval_ms;
};
struct flood_item {
    uint32_t slot;
    bool with_body; /* false: the neighbour is expected to hold the body already */
};
struct adjacency {
    enum adj_state state;
    enum adj_event why;                 /* what led into it; without meaning before anything did */
    char expected[RECORD_NAME_MAX + 1]; /* group; "" : any */
    char group[RECORD_NAME_MAX + 1], router[RECORD_NAME_MAX + 1];
    uint64_t instance;
    bool carrier;
    struct ls_sum sum;
    uint32_t records;
    ms_t heard_ms, said_ms, since_ms, pause_until_ms;
    unsigned differs;        /* DIGESTs in a row that differed */
    char differing[256];     /* since LS_VERIFY: names of groups */
    struct pending *pending; /* sorted by slot */
    size_t npending, cap_pending;
};
struct outgoing {
    uint32_t peer;
    size_t at, len;
};
struct ls {
    struct ls_options opts;
    char organization[RECORD_NAME_MAX + 1], group[RECORD_NAME_MAX + 1], router[RECORD_NAME_MAX + 1];
    struct buf cert;
    struct ls_crypto crypto;
    struct lsdb db;
    struct ls_version own;
    ms_t now_ms, refreshed_ms;
    struct ls_version rival; /* newest record of our own group that others hold; zero: none is beyond ours */
    ms_t outbid_ms, outbid_wait_ms; /* when to go beyond it at the earliest, and the pause after that */
    uint64_t wall_s, date_s;        /* our clock, and the date of the others at date_ms; 0: not known */
    ms_t wall_ms, date_ms, date_due_ms;
    bool date_moved;              /* what is held is to be looked at again: expire() */
    ms_t floor_ms, floor_wait_ms; /* when neighbours are asked for what was purged; wait 0: nothing was */
    ms_t shown_ms;                /* no floor is shown to a neighbour before */
    struct wish wishes[FLOOR_WISHES];
    struct adjacency *adj;
    size_t nadj;
    uint64_t counters[LS_C__COUNT];
    /* output of the current step */
    struct buf out;
    struct outgoing *outgoing;
    struct ls_send *sends;
    size_t nout, cap_out;
    struct ls_output result;
    bool nomem;
};

/* engine.c */
void ls_say(struct ls *ls, uint32_t peer, const struct ls_message *m);
void ls_notice(struct ls *ls, enum ls_counter c, uint32_t peer, struct span group, const char *fmt, ...)
    PRINTF(5, 6);
void ls_count(struct ls *ls, enum ls_counter c);
void ls_outbid(struct ls *ls); /* goes beyond the rival, when it is time to */
enum err ls_originate(struct ls *ls, struct span body, enum ls_level level, const struct ls_version *floor);
/* Whether this one is news for more than its age: another body, or another key that speaks for the group. */
bool ls_differs(const struct lsdb_slot *held, const struct lsa *lsa);
/* engine_adjacency.c */
void adj_event(struct ls *ls, uint32_t peer, enum adj_event ev);
const char *adj_event_name(enum adj_event ev);
void adj_hello(struct ls *ls, uint32_t peer, bool answer);
void adj_recv_hello(struct ls *ls, uint32_t peer, const struct ls_message *m);
void adj_recv_digest(struct ls *ls, uint32_t peer, const struct ls_message *m);
void adj_compare(struct ls *ls, uint32_t peer);
void adj_tick(struct ls *ls, uint32_t peer);
ms_t adj_wake(const struct ls *ls, const struct adjacency *a);
bool adj_open(const struct adjacency *a); /* SYNC or FULL */
/* engine_flood.c */
void flood_record(struct ls *ls, const struct lsdb_slot *slot, uint32_t except, bool with_body);
void flood_send(struct ls *ls, uint32_t peer, const struct flood_item *items, size_t n);
void flood_recv_advertise(struct ls *ls, uint32_t peer, const struct ls_message *m);
void flood_recv_ack(struct ls *ls, uint32_t peer, const struct ls_message *m);
void flood_recv_request(struct ls *ls, uint32_t peer, const struct ls_message *m);
void flood_tick(struct ls *ls, uint32_t peer);
bool flood_is_pending(const struct ls *ls, uint32_t peer,
                      const struct flood_item *item); /* what is held is on its way */
/* engine_date.c */
void date_tick(struct ls *ls);
uint64_t date_own(const struct ls *ls); /* to be signed now; 0: not known */
bool date_behind(const struct ls *ls);  /* others would take our record for one of long ago */
/* How old the record is at least, less what clocks may differ by; 0: its sequence does not tell. */
ms_t date_age_ms(const struct ls *ls, const struct ls_version *v);
/* engine_floor.c */
enum err floor_drop(struct ls *ls, size_t number, bool hold) MUST_USE;
enum err floor_purge(struct ls *ls, struct span group) MUST_USE;
void floor_watch(struct ls *ls); /* something was purged: begins to ask for it at the next tick */
void floor_tick(struct ls *ls);
ms_t floor_wake(const struct ls *ls);
void floor_show(struct ls *ls, uint32_t peer, const struct lsdb_slot *slot);
void floor_recv_wishes(struct ls *ls, uint32_t peer, struct span beyond);
/* engine_sync.c */
void sync_start(struct ls *ls, uint32_t peer);
void sync_verify(struct ls *ls, uint32_t peer);
void sync_recv_buckets(struct ls *ls, uint32_t peer, const struct ls_message *m);
void sync_recv_summary(struct ls *ls, uint32_t peer, const struct ls_message *m);
