/* queue/check.h — proves the invariants of queue/lua/README.md over a whole store while it runs.
 *
 * Keys are found with SCAN, a page at a time, and judged by the script `check`, at most 100 names a call:
 * atomic, so what it finds is real, and short, so mail goes on meanwhile.
 *
 *   counters ──> SCAN ──page──> runs of one partition and kind ──> check(run) ─┬─> next run, next page
 *                                      members of the key ──> check(entries) ──┘
 *                                                           all pages: sums ──> inf ──> slots
 *
 * The sums of a partition (I9) are judged only when its counters are, after the last page, what they were
 * before the first; else it counts as moved. SCAN may give a key twice: sums that do not fit are a finding
 * when a second count of the messages is off by the same. The counters are mended in the same step that
 * compares them.
 *
 * Used by `bridgehead queue fsck` and by tests. */
#pragma once
#include "common/clock.h"
#include "common/err.h"
#include "common/io/loop.h"
#include "common/span.h"

struct check;
struct redis_link;

struct check_result {
    uint64_t keys, findings, mended;
    uint64_t moved; /* partitions whose counters could not be judged: mail came or went meanwhile */
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
    /* text: "I<n> <name> <what>", of any length; partition == partitions: the slots */
    void (*finding)(void *arg, unsigned partition, struct span text, bool mended);
    /* Once, never before check_start() returns; the check is freed afterwards. */
    void (*done)(void *arg, enum err e, const struct check_result *r, const char *why);
    void *arg;
};
struct check *check_start(const struct check_conf *conf); /* NULL: out of memory */
void check_free(
    struct check *c); /* before done(): without a word; after its link is freed; NULL is a no-op */
