/* worker/core.h — the parts of a worker and how they hold on to each other. Internal to worker/.
 *
 *   discover ──due queue──> links ──route──> link ──slot, targets──> lane ──claim──> parcel ──settle──>
 * finish
 *
 *   A new table of routes changes nothing that was begun: queues and claimed jobs that no lane has are looked
 *   up anew (reroute.c).
 *
 *   A connector may list the workers that send over it (source bridgeheads). Others leave the queues that
 * take its way to them (discover.c), and give back what such a way turns out to be for when it is in hand
 * (link_claim.c).
 *
 *   due      a destination queue (partition, domain, class) with due mail: a hint, taken from the store
 *   link     all due queues that share a next hop at this moment; backoff and caps are decided per link
 *   lane     one connection of a link, or one writer into maildirs; holds at most one parcel
 *   parcel   one claimed job, from the claim until its finish or release
 *
 * Everything belongs to one loop. A link outlives its lanes, parcels and open requests to the store (it
 * counts them); lanes and parcels know their link; a lane owns the parcel it holds. Nothing is freed
 * inside a callback from below: what ended is put on the link's list and freed in the link's turn
 * (struct deferred), so a pointer is good until the end of the turn.
 *
 * Life of a link (link.c; link_enter() is the only writer of link->phase):
 *
 *              store_link_get()          no backoff                    targets known
 *    (new) ──────────────────> ASKING ──────────────> OPEN ─────────────────────────> OPEN, lanes grow
 *                                │                     ^ │  a lane found no target that
 *              a worker says:    │    until passed     │ │  works, and no other lane works
 *              not before `until`└───────> HELD ───────┘ │
 *                                           ^────────────┤  retry_delay(), store_link_failed(), holds
 *                                                        │  the answer is final: null MX, no domain, no route
 *                                       RETURNING <──────┘  claims, returns; ASKING again after its time
 *
 *    L1  OPEN: claims are taken only for lanes that can send now, or will have sent what they hold within
 *        moments (connect first, then claim), at most CLAIMS_AHEAD batches.
 *    L2  HELD: no lane is begun. Due queues are swept, a few jobs at a time: those too old, or due for a
 *        notice of delay, are settled, the others go back; then the queue is hidden until the next try.
 *        A queue that turns up meanwhile is new, or an operator wants it tried now: the store, which
 *        forgets the failures then, is asked again; and a claim says when its queue was woken last.
 *    L3  a lane exists only with a slot (maildirs need none). When its connection is closed on both sides the
 *        slot goes to a lane that follows it in the same turn, while there is mail, or back: a domain with
 *        much mail keeps its connections without asking. As long as another link of this worker waits for its
 *        first slot, none is passed on, and who waits longest asks first. When slots are lost the connections
 *        are closed at once.
 *    L4  no transaction begins while store_worker_valid() is below a third of the lease; none passes its
 *        final dot below a sixth.
 *
 * Life of a lane (smtp_lane.c, local_lane.c):
 *
 *    CONNECTING ──session is ready──> IDLE <──link gives a parcel / it is settled──> SENDING
 *       │  ^                           │ │                                              │
 *       │  └─next target───────────────┼─┼───────────────the session ended before <─────┘
 *       │                              │ │ messages_per_connection, idle, drain     the end of the data
 *       └─no target left───> ENDED <───┴─┴─> QUITTING ──closed by both──> ENDED
 *
 *    N1  a lane that has never been IDLE on any target and runs out of targets is a failure of its link.
 *        A search that takes too long ends as if it had (targets.h), but returns nobody.
 *    N2  a parcel whose session ended before the end of data goes on with the lane's next target. */
#pragma once
#include "common/io/conn.h"
#include "common/io/dns.h"
#include "common/rng.h"
#include "linkstate/route.h"
#include "linkstate/trace.h"
#include "queue/member.h"
#include "queue/routing.h"
#include "queue/store.h"
#include "worker/body.h"
#include "worker/deliver.h"
#include "worker/filepool.h"
#include "worker/maildir.h"
#include "worker/metrics.h"
#include "worker/settle.h"
#include "worker/targets.h"

enum {
    LINK_NAME_MAX = ROUTE_LINK_MAX,
    LINK_ERROR_MAX = 256,
    DUE_BUCKETS = 1024,
    DUE_MAX = 20000, /* due queues remembered */
    LINKS_MAX = 20000,
    CLAIMS_MAX = 2000,              /* parcels in hand of a worker */
    LOCAL_LANES = 8,                /* maildir writers of a link */
    FILE_THREADS = 2 * LOCAL_LANES, /* a domain whose disk hangs leaves as many for the others */
    CLAIMS_AHEAD = 2,               /* batches waiting for a lane, at most */
    SWEEP_EVERY_MS = 600000,
    STALE_AFTER_MS = 1800, /* an old plan waits so long for a new one (RFC 8767 5) */
    LINK_LINGER_MS =
        10000, /* a link without work is forgotten after that, its backoff state is in the store */
};

struct worker;
struct link;
struct lane;

/* --- Settings that links copy, counted: a reload makes new ones ------------------------------------ */

struct settings {
    unsigned refs;
    struct config *conf;
    const struct conf_root *root;
    struct route_table *routes; /* replaced when link state changes: results borrow for a turn */
    struct tls_context *tls_plain, *tls_verify; /* encryption alone; with the name checked */
    struct span self[65];                       /* own names: borrow from conf, or from hostname */
    size_t nself;
    char hostname[256], postmaster[320], base_dir[1024];
    struct ip_addr sources[16];
    size_t nsources;
};
/* published: link state, or "" (linkstate/route.h). */
enum err settings_new(struct config *conf, struct span published, const char *config_path,
                      struct settings **ret, struct errctx *ec) MUST_USE;
struct settings *settings_ref(struct settings *s);
void settings_unref(struct settings *s);

/* --- Parcels (parcel.c, report.c) ------------------------------------------------------------------- */

struct parcel {
    struct parcel *next;
    struct link *link;
    struct claim *claim;
    struct attempt attempt;
    struct body *body;                                /* NULL: not read yet */
    ms_t claimed_ms;                                  /* monotonic */
    char relay[DNS_NAME_MAX + ENDPOINT_TEXT_MAX + 4]; /* who was asked last, for the log */
    bool damaged;                                     /* its body is not in the store any more: badmail */
    /* while it is being settled */
    struct settle_input input;
    struct settlement settlement;
    struct report *report;
    struct deferred gone;
};
/* NULL: out of memory; the claim was released. */
struct parcel *parcel_new(struct link *link, struct claim *c);
/* Every recipient is settled, or nothing more is tried now: decides, reports, finishes, frees. */
void parcel_settle(struct parcel *p);
/* Back to its queue untouched. */
void parcel_release(struct parcel *p, ms_t delay_ms);
/* Reads the body unless somebody does already. ERR_NOMEM. */
enum err parcel_open_body(struct parcel *p, body_fn *ready, void *arg) MUST_USE;
void parcel_close_body(struct parcel *p); /* nobody is told of it any more */
/* At the end of the worker, before the store is freed: gives up all reports and their parcels. */
void reports_stop(struct worker *w);
/* f: everything but what follows from p->settlement. */
void parcel_finish(struct parcel *p, struct upload *report, const struct envelope *env,
                   const struct commit_job *jobs, size_t njobs);
void parcel_discard(struct parcel *p);   /* at the end of the worker: frees it, the store keeps the claim */
ms_t parcel_now(const struct parcel *p); /* Redis's wall clock, as far as we know it */

/* --- Lanes (lane.c, smtp_lane.c, local_lane.c) ------------------------------------------------------ */

enum lane_state { LANE_CONNECTING, LANE_IDLE, LANE_SENDING, LANE_QUITTING, LANE_ENDED };
struct lane_ops {
    void (*start)(struct lane *lane);
    void (*give)(struct lane *lane); /* lane->parcel is new */
    void (*quit)(struct lane *lane); /* only when IDLE */
    /* now; the parcel goes back; what passed its final dot stays, unless it has no slot any more */
    void (*abort)(struct lane *lane);
    void (*free)(struct lane *lane);
};
struct lane { /* first member of its kinds */
    const struct lane_ops *ops;
    struct link *link;
    struct lane *next;
    enum lane_state state;
    struct parcel *parcel;
    bool slot;      /* holds one; put back unless slots were lost since */
    uint64_t epoch; /* incarnation of the worker */
    bool was_ready; /* N1 */
    ms_t idle_since_ms, sent_at_ms;
    unsigned messages;       /* transactions of this connection ... */
    unsigned messages_limit; /* ... after which it ends */
};
struct lane *smtp_lane_new(struct link *link); /* NULL: out of memory */
struct lane *local_lane_new(struct link *link);
/* The lanes' side of the link; each arms the link's turn. */
void lane_enter(struct lane *lane, enum lane_state next); /* the only writer of lane->state */
void lane_idle(struct lane *lane);                        /* can take a parcel */
/* The parcel in hand is over: settle it. usable: the transaction reached an answer of its own. */
void lane_settled(struct lane *lane, bool usable);
void lane_ended(struct lane *lane); /* nothing of it is left but memory */
/* N1, or the same for a session that ended with its first message unanswered. */
void lane_failed(struct lane *lane, const struct verdict *v, const char *why);
bool lane_may_send(const struct lane *lane); /* L4, and not draining */
bool lane_may_end(const struct lane *lane);  /* L4: may the final dot go out */

/* --- Links (link.c, link_plan.c, link_claim.c, link_grow.c, links.c)
 * ------------------------------------------------ */

struct due {
    struct due *next_hash, *next, *prev; /* in the table; in its link's ring */
    struct link *link;
    unsigned partition;
    uint32_t klass;
    uint64_t depth;
    uint64_t seen;          /* token of the last jobs that went back because the link is held; 0: none did */
    bool claiming, dropped; /* dropped: free it when the claim has answered */
    size_t domain_len;
    char domain[];
};

enum link_kind { LINK_SMTP, LINK_LMTP, LINK_MAILDIR, LINK_NOROUTE, LINK_UNREACHABLE };
enum link_phase { LINK_ASKING, LINK_OPEN, LINK_HELD, LINK_RETURNING };
struct link {
    struct worker *w;
    struct settings *set; /* as of its creation */
    struct link *next_hash, *next;
    char name[LINK_NAME_MAX];
    enum link_kind kind;
    enum link_phase phase;
    bool stale;                             /* settings have changed: no new work, freed when empty */
    bool listed;                            /* in the table of names */
    bool asked;                             /* store_link_get() under way */
    bool fed;                               /* a due queue came, and the store has not been asked since */
    const struct conf_connector *connector; /* of set; NULL: local, or no way */
    /* next hop */
    struct targets_spec spec;
    char *named[TARGETS_HOSTS_MAX]; /* spec.named: settings' own text, in the order of the table */
    char domain[256];
    struct deliver deliver; /* MAILDIR: template */
    char *lmtp_host[1];
    char lmtp_text[256];
    enum conf_delivery_tls tls;
    unsigned messages_per_connection;
    struct targets_plan *plan; /* NULL: not known */
    struct resolve *resolve;
    ms_t plan_asked_ms;              /* monotonic, as all of these: when `resolve` was begun */
    ms_t plan_until_ms, plan_end_ms; /* asked for again; not used any more, whoever answers */
    /* backoff */
    uint32_t failures;
    ms_t until_ms;          /* monotonic; HELD, RETURNING */
    ms_t since_ms;          /* monotonic; HELD: who wants it tried after that is listened to */
    ms_t sweep_ms;          /* before that a hold looks at the head of its queues alone (L2) ... */
    bool sweep_all;         /* ... and this one looks at all of them */
    struct verdict verdict; /* RETURNING */
    enum failure failure;   /* RETURNING */
    uint16_t code;
    char error[LINK_ERROR_MAX]; /* why it does not work; "" : it does */
    /* work */
    struct due *due; /* ring; the next to be claimed from */
    size_t ndue;
    struct parcel *pending, **pending_tail;
    unsigned npending, nparcels; /* waiting for a lane; all that exist */
    unsigned claiming;           /* jobs asked for and not answered */
    struct lane *lanes;
    unsigned nlanes, nconnecting, nidle, nsending, nleaving; /* all; by state, see lane_enter() */
    bool slots_asked;
    bool freed;        /* slots were given back since they were asked for */
    unsigned spare;    /* slots of lanes that ended, for their successors: only until the end of the turn */
    unsigned stagger;  /* how much shorter the next lane of a crowd lives */
    unsigned proven;   /* lanes that ended in order: may be replaced without trying one first */
    unsigned requests; /* callbacks of the store awaited */
    struct link *next_starving;
    bool starving;
    unsigned denials;        /* in a row */
    ms_t grow_at_ms;         /* no more lanes before */
    ms_t pause_until_ms;     /* nor before this, while one works: another failed beside it */
    uint32_t transaction_ms; /* smoothed */
    ms_t busy_ms;            /* last time there was work */
    struct deferred turn;
};
/* Found or made. NULL: no memory, or too many. */
struct link *links_get(struct worker *w, const struct route *route, struct span domain);
void link_add_due(struct link *link, unsigned partition, const struct dmq *q);
struct due *due_find(struct worker *w, unsigned partition, struct span domain, uint32_t klass);
void due_drop(struct due *d);
void link_enter(struct link *link, enum link_phase next);
void link_fail(struct link *link, const char *why);    /* backoff */
void link_try_now(struct link *link, const char *why); /* HELD: no longer */
void link_return(struct link *link, const struct verdict *v, enum failure failure, uint16_t code,
                 const char *why, ms_t ttl_ms);
void link_works(struct link *link);      /* a server answered for a message: the backoff ends */
void link_wake(struct link *link);       /* arms its turn */
ms_t link_delay(struct link *link);      /* until it is tried again, or would be after one more failure */
void link_claim(struct link *link);      /* L1, L2 */
void link_grow(struct link *link);       /* L3 */
void link_slots_over(struct link *link); /* the end of a turn: what no successor has taken goes back */
void link_fed(struct link *link);        /* waits for no slot any more */
/* A claimed job, into pending of the link it belongs to. anew: its queue has been let go meanwhile. */
void link_take(struct link *link, struct claim *c, bool anew);
void link_hide_dues(struct link *link, ms_t delay_ms); /* from discovery, for a while; known here still */
struct parcel *link_next_parcel(struct link *link);
void link_set_kind(struct link *link, const struct route *route, struct span domain);
void link_set_targets(struct link *link, const struct route *route); /* of its connector, as they are now */
void link_look_up(struct link *link);                                /* its targets, when it has to */
bool link_has_plan(const struct link *link); /* to begin lanes with; not while a new one may come soon */
void link_doubt_plan(struct link *link);     /* asks again before it is used */
void link_drop_plan(struct link *link);      /* and what was asked for */
void links_tick(struct worker *w);           /* a few times a second */
void links_stale(struct worker *w);          /* settings have changed */
void links_drain(struct worker *w);          /* nothing new is begun */
void links_abort(struct worker *w);          /* the lease or the grace period is gone, or nearly */
void links_cut(struct worker *w);            /* so are the slots */
void links_stop(struct worker *w);           /* at the end, before the store is freed ... */
void links_free(struct worker *w);           /* ... and after it */

/* --- The worker (worker.c, discover.c) ---------------------------------------------------------------- */

struct partition {
    struct worker *w;
    unsigned number;
    bool asking, again, reaping;
    ms_t due_ms;   /* next look */
    unsigned from; /* queues left out by it: a look goes on behind those that only others serve */
    ms_t reap_ms;
    ms_t busy_ms; /* last time something was found */
    /* held queues, compared with another table (reroute.c) */
    bool scan, scanning, scan_again, roused; /* to be read; asked for a page; asked before the last table */
    uint64_t cursor;
};
struct worker {
    struct loop *loop;
    struct store *store; /* owned unless handed in */
    struct dns *dns;
    struct routing *routing; /* NULL: no routing daemon is configured */
    struct filepool *pool;
    struct settings *set;
    struct buf published; /* link state that set->routes was made of */
    struct kept *kept;    /* queues with jobs that are kept back: reroute.c */
    size_t nkept;
    struct route_table *before, *between; /* what held queues are being compared with; NULL: they are not */
    struct rng rng;
    struct worker_metrics m;
    struct partition *partitions;
    unsigned npartitions;
    struct timer *tick, *poll;
    struct link *links, *by_name[DUE_BUCKETS];
    struct due *dues[DUE_BUCKETS];
    size_t nlinks, ndues;
    unsigned nparcels, nlanes;
    uint64_t epoch;                         /* incarnation: claims of older ones are gone */
    uint64_t unique;                        /* of files in tmp/ */
    struct link *starving, **starving_tail; /* met a cap and have no lane: first in line for a slot */
    bool draining, stopping, abort_done, closed, closing;
    bool hurried;      /* draining, and the end of the grace period is near: what can be given back is */
    bool told_answers; /* that the end waits for Redis */
    ms_t hurry_ms, drain_ms; /* drain_ms: when it began */
    unsigned hanging;        /* threads of the pool that did not end: what their lanes hold is not freed */
    struct report *reports;  /* being made */
    char name[64];
    char member[MEMBER_NAME_MAX + 1]; /* as connectors list it */
    const char *config_path;
};
/* reroute.c: follows the published table */
void reroute_start(struct worker *w);
void reroute_stop(struct worker *w);
void reroute_tick(struct worker *w);
void reroute_keep(struct worker *w, const struct claim *c); /* it does not go the way of its queue */
void reroute(struct worker *w, struct route_table *old);    /* w->set->routes is another one now */
/* link_claim.c: the way of one message, which may be another one than that of its queue */
void route_of_claim(const struct worker *w, const struct claim *c, struct route *ret);
bool worker_may_claim(const struct worker *w); /* L4 */
ms_t worker_lease(const struct worker *w);
void discover_tick(struct worker *w);
void discover_wake(struct worker *w, unsigned partition);
