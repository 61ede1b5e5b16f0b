/* queue/script.h — the Lua scripts of queue/lua, embedded at build time with their digests.
 *
 * Contracts: queue/lua/README.md. The table is generated from the files by cmake/embed_lua.cmake: a file
 * without a line here, or a line without its file, does not compile. */
#pragma once
#include <stddef.h>

/* clang-format off */
#define SCRIPT_MAP(X) \
    X(BYE, bye) X(CANCEL, cancel) X(CHECK, check) X(CLAIM, claim) X(COMMIT, commit) X(DISCOVER, discover) \
    X(EDIT, edit) X(FINISH, finish) X(FREEZE, freeze) X(HELD, held) X(HOLD, hold) X(INIT, init) X(JOBS, jobs) \
    X(LINK, link) X(LINKS, links) X(MASTER, master) X(MEMBERS, members) X(META, meta) X(QUEUES, queues) \
    X(REAP, reap) X(REASSERT, reassert) X(RELEASE, release) X(RENEW, renew) X(RETRY, retry) X(ROUSE, rouse) \
    X(ROUTING, routing) X(SEM, sem) X(SHOW, show) X(SLOTCHECK, slotcheck) X(SLOTS, slots) X(STAGE, stage) X(STATS, stats) \
    X(THAW, thaw) X(TRACK, track) X(WORKERS, workers)
/* clang-format on */

enum script_id {
#define X(upper, lower) SCRIPT_##upper,
    SCRIPT_MAP(X)
#undef X
        SCRIPT_COUNT
};

struct script {
    const char *name, *sha1; /* sha1: 40 hex digits, what EVALSHA wants */
    const char *body;        /* len bytes, and a NUL that is not counted */
    size_t len;
};
extern const struct script scripts[SCRIPT_COUNT];

enum { STORE_SCHEMA_MIN = 1, STORE_SCHEMA_MAX = 1 }; /* ARGV[1], ARGV[2] of every script */
