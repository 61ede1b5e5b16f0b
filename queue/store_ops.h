/* queue/store_ops.h — what stands behind queue/store.h: a table of functions, so that the store on Redis
 * and the one of the tests live in one program. Included by implementations alone.
 *
 * An implementation embeds struct store and struct upload as first members. */
#pragma once
#include "queue/store.h"

struct store_ops {
    void (*free)(struct store *st);
    unsigned (*partitions)(const struct store *st);
    enum err (*refusal)(const struct store *st, struct buf *ret_why); /* NULL: nobody asks why */
    enum err (*warnings)(const struct store *st, struct buf *out);
    void (*on_change)(struct store *st, store_event_fn *fn, void *arg);
    enum err (*metrics)(const struct store *st, struct buf *out);

    struct upload *(*upload)(struct store *st, const struct msgid *near, store_event_fn *ready, void *arg);
    enum err (*upload_write)(struct upload *u, struct span bytes, size_t *ret_taken);
    bool (*upload_has_room)(struct upload *u, size_t bytes);
    enum err (*upload_commit)(struct upload *u, const struct envelope *env, const struct commit_job *jobs,
                              size_t njobs, commit_fn *done, void *arg);
    void (*upload_abort)(struct upload *u);

    enum err (*member_open)(struct store *st, const struct member_conf *conf); /* NULL: nobody looks */
    void (*member_close)(struct store *st);
    enum err (*worker_open)(struct store *st, const struct worker_info *info, store_event_fn *expired,
                            void *arg);
    void (*worker_close)(struct store *st, done_fn *done, void *arg);
    ms_t (*worker_valid)(const struct store *st);
    const char *(*worker_why)(const struct store *st);
    void (*on_wake)(struct store *st, void (*fn)(void *arg, unsigned partition), void *arg);
    enum err (*discover)(struct store *st, unsigned partition, unsigned from, unsigned max, discover_fn *done,
                         void *arg);
    enum err (*claim)(struct store *st, unsigned partition, struct span domain, uint32_t klass, unsigned max,
                      claim_fn *done, void *arg);
    enum err (*chunk)(struct store *st, const struct claim *c, uint32_t chunk, chunk_fn *done, void *arg);
    enum err (*finish)(struct store *st, const struct finish *f, done_fn *done, void *arg);
    enum err (*release)(struct store *st, struct claim *c, ms_t delay_ms);
    enum err (*held)(struct store *st, unsigned partition, uint64_t cursor, held_fn *done, void *arg);
    enum err (*rouse)(struct store *st, unsigned partition, struct span domain, uint32_t klass);
    enum err (*hold)(struct store *st, unsigned partition, struct span domain, uint32_t klass, ms_t delay_ms,
                     uint64_t token);
    enum err (*slots_get)(struct store *st, struct span link, unsigned want, unsigned cap_link,
                          unsigned cap_total, slots_fn *done, void *arg);
    void (*slots_put)(struct store *st, struct span link, unsigned n);
    void (*on_slots_lost)(struct store *st, store_event_fn *fn, void *arg);
    enum err (*reap)(struct store *st, unsigned partition, count_fn *done, void *arg);
    enum err (*link_get)(struct store *st, struct span link, link_fn *done, void *arg);
    enum err (*link_failed)(struct store *st, struct span link, uint32_t failures, ms_t delay_ms,
                            struct span error);
    enum err (*link_ok)(struct store *st, struct span link);
};
struct store {
    const struct store_ops *ops;
};
struct upload {
    struct store *store;
    struct msgid id;
    uint64_t size_bytes; /* taken so far */
    const char *why;     /* of the error that ended it; NULL: nothing to add to the error */
};
