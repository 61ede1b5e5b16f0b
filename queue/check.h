/* queue/check.h — proves the invariants of queue/lua/README.md over a whole store while it runs.
 *
 * Keys are found with SCAN, a page at a time, and judged by the script `check`, at most 100 names a call:
 * atomic, so what it finds is real, and short, so mail goes on meanwhile. What needs the whole store at
 * rest (I9) is not judged here.
 *
 *   SCAN ──page──> sorted into runs of one partition and kind ──> check(run) ─┬─> next run, next page ──> inf
 * ──> slots └─ members of the key ──> check(entries) ─┘
 *
 * Used by `bridgehead queue fsck`, by the janitor of the workers, and by tests. */
#pragma once
#include "common/clock.h"
#include "common/err.h"
#include "common/io/loop.h"
#include "common/span.h"

struct check;
struct redis_link;

struct check_result {
    uint64_t keys, findings, mended;
};
struct check_conf { /* what it points to outlives the check */
    struct loop *loop;
    struct redis_link *link; /* with SCRIPT_CHECK and SCRIPT_SLOTCHECK loaded */
    const char *ns;
    const struct span *tags;
    unsigned partitions;
    bool repair;
    ms_t pause_ms;    /* between two steps, to leave room for mail */
    ms_t patience_ms; /* longest wait for an answer */
    void (*finding)(void *arg, unsigned partition, struct span text); /* partition == partitions: the slots */
    /* Once, never before check_start() returns; the check is freed afterwards. */
    void (*done)(void *arg, enum err e, const struct check_result *r, const char *why);
    void *arg;
};
struct check *check_start(const struct check_conf *conf); /* NULL: out of memory */
void check_free(
    struct check *c); /* before done(): without a word; after its link is freed; NULL is a no-op */
