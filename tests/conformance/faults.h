/* tests/conformance/faults.h — a world on a real Redis behind a proxy that cuts, refuses and garbles, and
 * lives of messages that survive what happens to their connections. */
#pragma once
#include "queue/script.h"
#include "tests/conformance/real.h"
#include "tests/conformance/steps.h"
#include "tests/fakes/redis_proxy.h"

extern struct redis_proxy proxy; /* of both clients */
int faults_setup(void **state);  /* a lease longer than any machine is slow */
enum { FAULTS_SHORT_LEASE_MS = 1500 };
int faults_setup_short(void **state);
int faults_teardown(void **state);

/* Begins a commit to example.net; the answer comes into *a. */
enum err start_commit(struct world *w, struct span body, struct answer *a);
void committed(struct world *w, struct answer *a); /* waits for it: it must be ERR_OK */
struct claim *claim_surely(struct world *w, const struct msgid *id, const char *domain);
struct life {
    size_t size;
    bool report;
}; /* report: to the sender, delivered too */
void live(struct world *w, const struct life *life);
void nothing_is_left(struct world *w);
void key_of(const struct world *w, const struct msgid *id, const char *kind,
            char out[128]);                                   /* "<tag>:<kind>:<id>" */
bool in_queue(const struct world *w, const struct msgid *id); /* its only job, in example.net's */

/* What Redis may answer to a script that it does not run. */
enum { REFUSALS = 19 };
extern const struct refusal {
    const char *error;
    enum err e;         /* ERR_OK: waited for, and then done */
    const char *remedy; /* what people are told */
} refusals[REFUSALS];
void digest(enum script_id id, char out[41]);
void kill_redis(void); /* kill -9, and a restart */
