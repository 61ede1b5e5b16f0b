/* router/core.h — the parts of a router and how they hold on to each other. Internal to router/.
 *
 *   program.c   the daemon: what it stands on
 *   master.c    the lease: who is master, from taking over to stepping down
 *   table.c     what is published: checked a part at a time, by a standby, too
 *   speaker.c   the engine (linkstate/engine.h) between carrier and Redis: origination, publishing
 *   notices.c   what neighbours did wrong, in the log
 *   watcher.c   health of connectors: reports, probes, overrides, questions; which source bridgeheads live
 *   history.c   what changed from one table to the next
 *
 *            lease taken             what was left is read, engine and carrier are made
 *   STANDBY ------------> LOADING --------------------------------------------------------> MASTER
 *      ^                     |                                                                |
 *      +---------------------+--------- lease lost, or its end by our own clock --------------+
 *
 *   R1  Only a master has an engine and a carrier: a standby says nothing to anybody.
 *   R2  Nothing is done with an engine when the lease may be over by our own clock: a router that slept finds
 *       that out before it says or writes anything, and Redis refuses what it writes all the same.
 *   R3  A version of our own record leaves only after Redis has it (routing_save(), again and again until
 *       the lease is lost): until then everything that the engine says waits in the outbox, in order.
 *   R4  Each change of the table is published, the newest one last, and again when that failed; at most one
 *       publication is under way. */
#pragma once
#include "common/io/dns.h"
#include "linkstate/engine.h"
#include "linkstate/snapshot.h"
#include "queue/routing_master.h"
#include "router/carrier.h"
#include "router/health.h"
#include "router/keys.h"
#include "router/metrics.h"
#include "router/probe.h"
#include "router/sources.h"

enum { OUTBOX_MAX = 64 << 20, MEMBERS_MAX = 100, PROBES_MAX = 64 };
enum router_state { ROUTER_STANDBY, ROUTER_LOADING, ROUTER_MASTER };

/* Lines about one neighbour, of which NOTICES_LOGGED in NOTICES_MS are written: the others are counted, and
 * told in one line when that time is over. */
enum { NOTICES_MS = 10000, NOTICES_LOGGED = 20 };
struct notice_limit {
    ms_t since_ms;
    unsigned written, left_out;
};

struct probing { /* one target that is being tried */
    struct router *r;
    struct probing *next, **prev;
    struct probe *probe;
    char connector[ROUTING_NAME_MAX + 1], target[321];
};
struct router {
    struct loop *loop;
    struct config *conf;
    const struct conf_root *root;
    struct dns *dns;
    struct routing *routing;
    struct router_metrics m;
    struct key_file group_key, transport_key;
    uint8_t org_key[SIGN_KEY_LEN];
    char name[ROUTING_NAME_MAX + 1], hostname[256];
    uint64_t instance;
    ms_t started_ms; /* wall clock */
    bool draining, drained;

    /* master.c */
    enum router_state state;
    struct routing_seat seat;
    ms_t lease_until_ms, asked_ms; /* monotonic */
    bool asking, renewing;
    struct timer *lease;
    struct deferred depose; /* stepping down, out of whatever callback found out */
    char why[200];

    /* table.c */
    struct lsdb trusted; /* records whose signatures were checked; nothing while this router is master */
    struct lsdb loaded;  /* the part of `published` that was worked through */
    struct buf published;
    struct ls_restore restore;
    struct ls_crypto table_crypto;
    struct timer *slice, *follow;
    uint64_t known_version;
    ms_t followed, following; /* when what is in `trusted`, and in `published`, was published */
    bool restoring, table_asked;

    /* speaker.c: only of a master */
    struct ls *ls;
    struct carrier *carrier;
    struct timer *tick, *again;
    size_t npeers;
    struct lsdb seen;  /* the table as history knows it */
    struct buf outbox; /* peer (4), length (4), message; waiting for R3 */
    struct ls_version saved, saving;
    bool save_busy, save_due; /* due: the engine's version is beyond what was asked for */
    char config_digest[2 * SIGN_DIGEST_LEN + 1], left_digest[2 * SIGN_DIGEST_LEN + 1];
    struct ls_version left; /* the version that the master before had */
    bool publish_busy, publish_dirty;
    ms_t dirty_ms, kept_ms, again_ms;             /* again_ms: the pause before what failed is tried again */
    enum adj_state told[LS_PEERS_MAX];            /* states of adjacencies, as the log knows them */
    struct notice_limit limits[LS_PEERS_MAX + 1]; /* by neighbour; the last one: of no neighbour */
    ms_t notices_due_ms;                          /* when lines that were left out are to be counted */
    bool keep_due;                                /* only refreshes since the last publication */

    /* watcher.c */
    struct health *health;
    struct sources *sources;
    struct timer *watch;
    struct probing *probes;
    size_t nprobes;
    char members[MEMBERS_MAX][ROUTING_NAME_MAX + 1], next_members[MEMBERS_MAX][ROUTING_NAME_MAX + 1];
    size_t nmembers, nnext_members;
    bool members_busy, workers_busy, reports_busy, reports_again, words_busy, words_again, questions_busy,
        questions_again;
    bool reports_moved;
    char verify_id[33]; /* the question that is being answered; "" : none */
    char purge_id[33];  /* likewise: when the table without the group is in Redis */
    ms_t verify_ms;
    size_t nreports;
    ms_t members_ms, peers_ms;
    ms_t wall_base_ms, wall_base_mono_ms; /* Redis's clock, read once, then carried on by our own */
    uint64_t counted[LS_C__COUNT];        /* of engines that are no more */
};

ms_t router_wall(const struct router *r); /* Redis's clock; never jumps with ours */

/* master.c */
bool router_may_act(struct router *r); /* R2; false also starts the stepping down */
void router_refused(struct router *r, enum err e, const char *what, const char *why); /* an answer of Redis */
void router_step_down(struct router *r, const char *why);
void router_say(void *arg, char what);
void master_loaded(struct router *r, struct lsdb *table); /* borrowed for the call */
enum err master_start(struct router *r) MUST_USE;
void master_drain(struct router *r); /* gives the lease back; r->drained when that is done */
void master_reload(struct router *r,
                   bool rebuild); /* r->root and the keys are new; rebuild: neighbours, too */
void master_stop(struct router *r);

/* table.c: TABLE_CHECKS records' signatures are checked in one turn of the loop, for some 20 ms. What waits
 * meanwhile, above all the renewal of the lease, gets its turn after each. */
enum { TABLE_CHECKS = 64 };
enum err table_start(struct router *r) MUST_USE;
void table_stop(struct router *r);
enum err table_load(struct router *r) MUST_USE; /* then master_loaded(), or the router steps down */
void table_begin(struct router *r, const struct routing_table *t); /* borrowed for the call */
void table_halt(struct router *r);     /* what was begun; what was checked stays known */
void table_left(struct router *r);     /* no master any more: the table of the engine is known */
void table_distrust(struct router *r); /* another organization: nothing is known */

/* speaker.c */
enum err speaker_start(struct router *r, const struct lsdb *table, struct errctx *ec) MUST_USE;
void speaker_stop(struct router *r);
/* New neighbours, or another transport key: a new engine with the table of the old one. */
enum err speaker_rebuild(struct router *r, struct errctx *ec) MUST_USE;
void speaker_configured(struct router *r); /* the configuration, or the group's key, is another */
void speaker_originate(struct router *r, enum ls_level level);
enum err speaker_purge(struct router *r, struct span group) MUST_USE;
void speaker_verify(struct router *r);
enum err speaker_digest(struct router *r, char ret[2 * SIGN_DIGEST_LEN + 1], struct errctx *ec) MUST_USE;
void version_text(const struct ls_version *v, char out[64]); /* "major.minor.user.sequence" */
bool version_parse(struct span text, struct ls_version *ret);

/* notices.c */
/* What a step found wrong; peer: whose message it was (UINT32_MAX: no message). */
void notices_log(struct router *r, const struct ls_output *out, uint32_t peer);
void notices_flush(struct router *r, bool all); /* counts of lines that were left out; all: also of now */
bool notice_allowed(struct notice_limit *l, ms_t now_ms); /* false: to be added to what is left out */
unsigned notice_left_out(struct notice_limit *l,
                         ms_t now_ms); /* forgets them; 0: none, or time is not over */

/* watcher.c */
enum err watcher_start(struct router *r) MUST_USE; /* the health is configured, and restored */
void watcher_stop(struct router *r);
void watcher_say(struct router *r, char what);
void watcher_put_peers(struct router *r);
void watcher_published(struct router *r); /* the newest table is in Redis */
void watcher_ask_workers(struct router *r);
enum err watcher_configure(struct router *r) MUST_USE; /* r->root is new */
const char *watcher_why(const struct router *r,
                        struct span connector); /* why it went UP or DOWN, for people */

/* history.c */
void history_diff(struct router *r, const struct lsdb *before, const struct lsdb *now);
void history_say(struct router *r, const char *what, struct span group, struct span connector,
                 const struct ls_version *v, const char *text);
