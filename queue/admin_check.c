/* fsck: queue/check.h as an operation. */
#include "queue/admin_int.h"

#include "queue/check.h"

#include <stdio.h>
#include <string.h>

struct fsck {
    struct admin_op op;
    bool repair;
    struct check *check;
    struct admin_check_result result;
    admin_finding_fn *each;
    admin_check_fn *done;
    void *arg;
};

static void finding(void *arg, unsigned partition, struct span text, bool mended)
{
    struct fsck *f = arg;
    char line[1100];
    char where[16] = "slots";
    if (partition < f->op.a->partitions)
        (void)snprintf(where, sizeof where, "%02u", partition);
    int n = snprintf(line, sizeof line, "%s: " SPAN_FMT, where, SPAN_ARG(span_first(text, 1000)));
    f->each(f->arg, span_of(line, (size_t)n), mended);
}

static void checked(void *arg, enum err e, const struct check_result *r, const char *why)
{
    struct fsck *f = arg;
    f->result = (struct admin_check_result){r->keys, r->findings, r->mended, r->moved};
    f->check = NULL; /* frees itself */
    bool refused = e == ERR_CANCELED && !f->op.a->closing;
    admin_end(&f->op, refused ? ERR_BACKEND : e, refused ? f->op.a->refused : why);
}

static void begin(struct admin_op *op)
{
    struct fsck *f = (struct fsck *)op;
    struct admin *a = op->a;
    struct check_conf conf = {.loop = a->loop,
                              .link = a->link,
                              .ns = a->ns,
                              .tags = a->tags,
                              .partitions = a->partitions,
                              .repair = f->repair,
                              .patience_ms = a->patience_ms,
                              .finding = finding,
                              .done = checked,
                              .arg = f};
    f->check = check_start(&conf);
    if (f->check == NULL)
        admin_end(op, ERR_NOMEM, "");
}

static void finish(struct admin_op *op, enum err e, const char *why)
{
    struct fsck *f = (struct fsck *)op;
    f->done(f->arg, e, &f->result, why);
}

static void release(struct admin_op *op)
{
    check_free(((struct fsck *)op)->check);
}

enum err admin_check(struct admin *a, bool repair, admin_finding_fn *each, admin_check_fn *done, void *arg)
{
    static const struct admin_op_kind kind = {begin, finish, release, false};
    struct fsck *f = (struct fsck *)admin_op_new(a, sizeof *f, &kind);
    if (f == NULL)
        return ERR_NOMEM;
    f->repair = repair;
    f->each = each;
    f->done = done;
    f->arg = arg;
    return ERR_OK;
}
