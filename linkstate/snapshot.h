/* linkstate/snapshot.h — the merged table as one value: what the master publishes (queue/routing.h), and
 * nodes, workers, the command line and the next master read.
 *
 * The value is a list of advertisements as in ADVERTISE (docs/protocol.md): age, signed header, body; one of
 * every group, names in rising order. One value for one table: emitting twice gives the same bytes. The store
 * is not trusted: a reader checks every length; a router that takes the table over checks every signature.
 * Lifetimes: spans borrow from the bytes that were parsed. */
#pragma once
#include "linkstate/lsdb.h"

enum { LS_SNAPSHOT_MAX = 48 << 20 }; /* bytes; below what one reply of the store may have */

struct ls_snapshot {
    struct span bytes;
    uint32_t records;
    /* How far link state has come: major + minor of all groups. Of two tables, one of which knows all that
     * the other knows and more, it has the larger one (linkstate/trace.h). */
    uint64_t generation;
};
struct ls_snapshot_entry {
    uint32_t age_s; /* when it was published */
    struct lsa lsa;
    struct span body; /* never empty; its form is not checked yet: record_parse() */
};

/* now_ms: the clock of db's born_ms. ERR_TOOBIG with the reason, ERR_NOMEM; out is then as before. */
enum err ls_snapshot_emit(const struct lsdb *db, ms_t now_ms, struct buf *out, struct errctx *ec) MUST_USE;
/* The form of everything but the bodies. ERR_PARSE, ERR_TOOBIG; the message says what is wrong. */
enum err ls_snapshot_parse(struct span bytes, struct ls_snapshot *ret, struct errctx *ec) MUST_USE;
/* r: rd_open(snapshot.bytes). False at the end. */
bool ls_snapshot_next(struct rd *r, struct ls_snapshot_entry *ret);
/* The digest of the table, to compare with a neighbour's. */
struct ls_sum ls_snapshot_sum(const struct ls_snapshot *s, const struct ls_crypto *crypto);
/* Puts every record into db whose signature, certificate and body are in order and which is not older than
 * lifetime_ms; *ret_refused counts the others. age_ms: how long ago the value was published. For a router
 * that starts. ERR_NOMEM. */
enum err ls_snapshot_restore(const struct ls_snapshot *s, struct span organization,
                             const uint8_t org_key[LS_KEY_LEN], const struct ls_crypto *crypto, ms_t now_ms,
                             ms_t age_ms, ms_t lifetime_ms, struct lsdb *db, size_t *ret_refused) MUST_USE;
