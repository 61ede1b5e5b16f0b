/* tests/conformance/steps.h — what the tests of a store do: ask, wait for the answer, look at it. */
#pragma once
#include "tests/conformance/suite.h"

enum { TURNS_MAX = 200000, CLAIMS_MAX = 128, DMQ_MAX = 64 };

/* What a callback left behind; one per question. */
struct answer {
    unsigned calls;
    enum err e;
    struct msgid id;
    struct buf why;
    struct claim *claims[CLAIMS_MAX];
    char domains[DMQ_MAX][64];
    uint64_t depths[DMQ_MAX];
    size_t n;
    uint64_t number;
    struct buf body;
    struct link_state link;
    ms_t now_ms;
};

struct mail {
    struct recipient rcpts[2];
    struct job job[2];
    struct commit_job jobs[2];
    struct envelope env;
};

void answer_init(struct answer *a);
void answer_done(struct answer *a);
void at_least(struct world *w, const struct answer *a, unsigned calls);
void until(struct world *w, const struct answer *a, unsigned calls);
void on_event(void *arg);
void on_commit(void *arg, enum err e, const struct msgid *id, const char *why);
void on_done(void *arg, enum err e);
void on_claim(void *arg, enum err e, struct claim *const *claims, size_t n);
void on_discover(void *arg, enum err e, const struct dmq *list, size_t n);
void on_chunk(void *arg, enum err e, struct span bytes);
void on_slots(void *arg, enum err e, unsigned granted);
void on_count(void *arg, enum err e, uint64_t n);
void on_wake(void *arg, unsigned partition);
void on_link(void *arg, enum err e, const struct link_state *ls, ms_t now_ms);
/* A message to `n` domains. The struct is referred to by its own members: it stays where it is. */
void mail_to(struct mail *m, const char *const *domains, size_t n);
void write_all(struct world *w, struct upload *u, struct span body, struct answer *ready);
struct msgid put_delayed(struct world *w, const char *const *domains, size_t n, struct span body,
                         ms_t delay_ms);
struct msgid put(struct world *w, const char *domain, struct span body);
void work(struct world *w, size_t client, struct answer *expired);
/* Asks once; returns how many came. */
size_t claim(struct world *w, size_t client, unsigned partition, const char *domain, unsigned max,
             struct answer *a);
struct claim *claim_one(struct world *w, size_t client, unsigned partition, const char *domain);
enum err finish(struct world *w, size_t client, const struct finish *f);
enum err finish_done(struct world *w, size_t client, struct claim *c);
uint64_t total_depth(struct world *w);
uint64_t reap_all(struct world *w, size_t client);
/* Bytes that do not compress, or that do. */
struct buf body_of(size_t n, bool compressible);
void check_body(struct world *w, size_t client, const struct claim *c, struct span want);
