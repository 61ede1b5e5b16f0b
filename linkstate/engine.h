/* linkstate/engine.h — one router's view of the organization, as a function: events in, messages out.
 *
 * No I/O, no clock, no randomness: the daemon, the simulator and the fuzzer drive the same code.
 *
 * An adjacency (one per configured neighbour; rows in engine_adjacency.c):
 *
 *              carrier up / HELLO            HELLO                  equal digests
 *     DOWN ------------------------> INIT ----------> SYNC <---------------------> FULL
 *       ^                             |                |     digests differ          |
 *       +-----------------------------+----------------+-----------------------------+
 *            carrier down, BYE, silence, violation (then BYE, and a pause)
 *
 *   DOWN   nothing is known of the neighbour; nothing is sent but HELLO.
 *   INIT   HELLO is out, its answer is not here.
 *   SYNC   versions agreed; tables are being compared: the one with the lower name sends BUCKETS, the
 *          other answers SUMMARY of the parts that differ, the first sends and asks for what is newer.
 *   FULL   the tables were equal when last compared.
 *   In SYNC and FULL every new record is flooded, acknowledged, and sent again until it is.
 *
 *   L1  A record enters the table only with a valid signature of its group, certified by the organization.
 *   L2  The version of a record in the table never goes back; a dropped one does not return at or below
 *       its floor while that is remembered.
 *   L3  Only this group's own record is ever originated here, and its version only rises.
 *   L4  A record is not sent to a neighbour that has sent or acknowledged it at that version or newer.
 *   L5  Nothing is sent to a neighbour in DOWN or INIT but HELLO and BYE.
 *
 * Lifetimes: what ls_step() returns is borrowed until the next ls_step(). Not thread-safe. */
#pragma once
#include "common/clock.h"
#include "common/err.h"
#include "linkstate/lsdb.h"

enum { LS_PEERS_MAX = 1024 };

struct ls_options {
    struct span organization, group, router; /* copied */
    uint8_t org_key[LS_KEY_LEN];
    struct span cert;        /* of this group's key; copied */
    uint64_t instance;       /* differs from start to start */
    ms_t hello_ms;           /* keep-alive and digest; dead after 3 of them in silence. Default 5 s */
    ms_t retransmit_ms;      /* default 1 s, doubling to 8 times that */
    ms_t refresh_ms;         /* own record is signed anew. Default 10 min */
    ms_t lifetime_ms;        /* an unrefreshed record is dropped. Default 30 min */
    struct lsdb_pool *pool;  /* for simulations; NULL: none */
    ms_t violation_pause_ms; /* before an adjacency that broke the rules is tried again. Default 60 s */
};

/* clang-format off */
#define LS_COUNTER_MAP(X) \
    X(RECEIVED,      "messages received") \
    X(SENT,          "messages sent") \
    X(BYTES_SENT,    "bytes sent") \
    X(ACCEPTED,      "records that were news") \
    X(DUPLICATE,     "records already held") \
    X(STALE,         "records older than the one held: replayed or late") \
    X(REFRESHED,     "records refreshed without a body") \
    X(RETRANSMITTED, "records sent again for want of an acknowledgement") \
    X(EXPIRED,       "records dropped because their group did not refresh them") \
    X(MALFORMED,     "messages that could not be parsed") \
    X(FORGED,        "records with a bad signature or certificate") \
    X(CONFLICT,      "different records with one version, or two keys for one group") \
    X(TOO_MANY,      "records refused for the limits on groups and connectors") \
    X(MISPLACED,     "messages in the wrong state or from an unexpected neighbour") \
    X(IGNORED,       "events without meaning in their state")
/* clang-format on */
enum ls_counter {
#define X(name, help) LS_C_##name,
    LS_COUNTER_MAP(X)
#undef X
        LS_C__COUNT
};
const char *ls_counter_name(enum ls_counter c);
const char *ls_counter_help(enum ls_counter c);

enum adj_state { ADJ_IGNORE, ADJ_DOWN, ADJ_INIT, ADJ_SYNC, ADJ_FULL, ADJ__COUNT };
enum adj_event {
    AEV_CARRIER_UP,
    AEV_HELLO,
    AEV_EQUAL,
    AEV_DIFFER,
    AEV_SILENCE,
    AEV_BYE,
    AEV_CARRIER_DOWN,
    AEV_VIOLATION,
    AEV__COUNT
};
const char *adj_state_name(enum adj_state s);

enum ls_level { LS_LEVEL_REFRESH, LS_LEVEL_USER, LS_LEVEL_MINOR, LS_LEVEL_MAJOR };
/* LS_PURGE drops a group's record here; if the group lives it comes back: neighbours are asked for something
 * newer, the question goes from router to router, and the group itself signs anew when it hears it.
 * LS_VERIFY asks every open neighbour where our tables differ; what it answers stands in ls_peer_info(). */
enum ls_event_type { LS_TICK, LS_CARRIER_UP, LS_CARRIER_DOWN, LS_RECV, LS_ORIGINATE, LS_PURGE, LS_VERIFY };
struct ls_event {
    enum ls_event_type type;
    ms_t now_ms;             /* monotonic; a step back is taken as no step */
    uint64_t wall_s;         /* seconds since 1970; may be wrong, may jump; 0: not known */
    uint32_t peer;           /* CARRIER_*, RECV: the number that ls_peer_add() gave */
    struct span bytes;       /* RECV: a message; ORIGINATE: a record body; PURGE: a group */
    enum ls_level level;     /* ORIGINATE: which number of the version rises */
    struct ls_version floor; /* ORIGINATE: persisted version; the new one is beyond it */
};
struct ls_send {
    uint32_t peer;
    struct span bytes;
};
struct ls_notice { /* for the log: one line, naming the neighbour */
    enum ls_counter counter;
    uint32_t peer; /* UINT32_MAX: none */
    char group[RECORD_NAME_MAX + 1];
    char text[160];
};
enum { LS_NOTICES_MAX = 16 };
struct ls_output {
    const struct ls_send *sends; /* valid also when an error is returned */
    size_t nsends;
    bool table_changed; /* a body changed, came or went: routes may differ; or another key signs a record */
    bool own_changed;   /* own version rose: persist it BEFORE anything is sent */
    struct ls_notice notices[LS_NOTICES_MAX];
    size_t nnotices, notices_dropped;
    unsigned checked; /* records whose signatures were verified: nearly all the time that a step takes */
    ms_t wake_at_ms;  /* next LS_TICK */
};

struct ls;
struct ls *ls_new(const struct ls_options *opts, const struct ls_crypto *crypto,
                  ms_t now_ms); /* NULL: out of memory, bad cert */
void ls_free(struct ls *ls);
/* expected_group "" : any group of the organization. ERR_TOOBIG, ERR_NOMEM. */
enum err ls_peer_add(struct ls *ls, struct span expected_group, uint32_t *ret_peer) MUST_USE;
/* ERR_NOMEM; ERR_DENIED (ORIGINATE without key); ERR_PARSE (ORIGINATE: bad body); ERR_NOTFOUND (PURGE). What
 * neighbours send is never an error here: it is refused, counted and noticed. */
enum err ls_step(struct ls *ls, const struct ls_event *ev, struct ls_output *ret) MUST_USE;

/* Another key of this group, in a certificate with a higher serial: what is signed from now on is signed with
 * it (crypto->sign must follow). ERR_PARSE: for another group; ERR_NOMEM. */
enum err ls_set_cert(struct ls *ls, struct span bytes) MUST_USE;
const struct lsdb *ls_table(const struct ls *ls);
const struct ls_version *ls_own_version(const struct ls *ls); /* zero before the first ORIGINATE */
struct ls_peer_info {
    enum adj_state state;
    const char *group, *router;
    struct ls_sum sum; /* last heard */
    uint32_t pending;  /* records awaiting an acknowledgement */
    /* Groups that differed in the last comparison since LS_VERIFY, blank-separated; ends with "..." when
     * there are more. An equal neighbour answers nothing. */
    const char *differing;
    ms_t heard_ms, since_ms;
    const char *why; /* the event that led into the state */
};
bool ls_peer_info(const struct ls *ls, uint32_t peer, struct ls_peer_info *ret);
const uint64_t *ls_counters(const struct ls *ls); /* LS_C__COUNT of them */
/* The table of another engine, or of the master before: all of it was verified. */
enum err ls_adopt(struct ls *ls, const struct lsdb *table, ms_t now_ms) MUST_USE;
