/* linkstate/snapshot.h — the merged table as one value: what the master publishes (queue/routing.h), and
 * nodes, workers, the command line and the next master read.
 *
 * The value is a list of advertisements as in ADVERTISE (docs/protocol.md): age, signed header, body; one of
 * every group, names in rising order. Before it stands, when something that was dropped is remembered,
 *
 *   magic (4) | length of the floors (4) | floors
 *   floor = seconds left (4) | seconds left in which mail waits (4) | length of header (2), of body (4)
 *           | header, signed | body, while mail waits
 *
 * names in rising order, too. The magic is the age of no record: a table without it is one without floors.
 * One value for one table: emitting twice gives the same bytes. The store is not trusted: a reader checks
 * every length; a router that takes the table over checks every signature, so that no floor is higher than
 * what the group itself has signed. Lifetimes: spans borrow from the bytes that were parsed. */
#pragma once
#include "linkstate/lsdb.h"

enum { LS_SNAPSHOT_MAX = 48 << 20 }; /* bytes; below what one reply of the store may have */

struct ls_snapshot {
    struct span bytes; /* the records */
    struct span barred;
    uint32_t records, floors;
    /* How far link state has come: major + minor of all groups. Of two tables, one of which knows all that
     * the other knows and more, it has the larger one (linkstate/trace.h). */
    uint64_t generation;
};
struct ls_snapshot_entry {
    uint32_t age_s; /* when it was published */
    struct lsa lsa;
    struct span body; /* never empty; its form is not checked yet: record_parse() */
};

struct ls_snapshot_floor { /* a group that was dropped; the floor is lsa.version */
    uint32_t left_s, hold_s;
    struct lsa lsa;
    struct span body; /* empty: mail for it does not wait */
};

/* now_ms: the clock of db's born_ms. ERR_TOOBIG with the reason, ERR_NOMEM; out is then as before. */
enum err ls_snapshot_emit(const struct lsdb *db, ms_t now_ms, struct buf *out, struct errctx *ec) MUST_USE;
/* The form of everything but the bodies. ERR_PARSE, ERR_TOOBIG; the message says what is wrong. */
enum err ls_snapshot_parse(struct span bytes, struct ls_snapshot *ret, struct errctx *ec) MUST_USE;
/* r: rd_open(snapshot.bytes). False at the end. */
bool ls_snapshot_next(struct rd *r, struct ls_snapshot_entry *ret);
/* r: rd_open(snapshot.barred). False at the end. */
bool ls_snapshot_next_floor(struct rd *r, struct ls_snapshot_floor *ret);
/* The digest of the table, to compare with a neighbour's. */
struct ls_sum ls_snapshot_sum(const struct ls_snapshot *s, const struct ls_crypto *crypto);

/* Taking a table over, a part at a time: checking the signatures of a large one takes seconds. Which records
 * are put into db: those whose signature, certificate and body are in order, and which are not older than
 * lifetime_ms and above the floor of their group. */
struct ls_restore {
    struct span organization; /* borrowed, as what follows, until the end */
    const uint8_t *org_key;
    const struct ls_crypto *crypto;
    const struct lsdb *trusted; /* NULL, or records checked before: the same bytes are shared, not checked */
    ms_t now_ms, age_ms;        /* the clock of db's born_ms; how long ago the value was published */
    ms_t lifetime_ms;
    /* the progress */
    struct rd floors, rest; /* rd_open(snapshot.barred), rd_open(snapshot.bytes) */
    size_t refused, checked;
};
/* Goes on until so many records have been checked, or LS_RESTORE_SHARED times as many taken from `trusted`;
 * *ret_done: all of it is there. ERR_NOMEM. */
enum { LS_RESTORE_SHARED = 32 };
enum err ls_snapshot_restore(struct ls_restore *at, unsigned most, struct lsdb *db, bool *ret_done) MUST_USE;
