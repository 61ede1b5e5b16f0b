/* What Redis says we hold, against what we know.
 *
 * A claim whose reply was lost leaves jobs in our hands that we do not know of, and our renewals would keep
 * them there for ever. A failover may forget finishes, which has the same effect, or leases that we count on.
 */
#include "queue/redis_worker.h"

#include "queue/redis_reply.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PAGE = 20, JOB_FIELDS = 12, JOB_HEAD = 2, REASSERT_MAX = 100, CURSOR_MAX = 128 };

struct page {
    struct redis_store *st;
    unsigned partition, epoch;
};

static void ask_page(struct redis_store *st, unsigned partition, struct span cursor);

static bool is_known(const struct redis_worker *w, struct span id, uint64_t index, uint64_t token)
{
    for (const struct redis_claim *c = w->claims; c != NULL; c = c->next) {
        if (c->claim.index == index && c->claim.token == token && span_eq(span_cstr(c->claim.id.id), id))
            return true;
    }
    for (const struct redis_finish *f = w->finishes; f != NULL; f = f->older) {
        if (f->what.index == index && f->what.token == token && span_eq(span_cstr(f->what.id), id))
            return true;
    }
    return false;
}

/* Replies come in order on the control connection: every claim that Redis had executed before this page
 * was answered before it, too. */
static void page_done(void *arg, struct redis_request *rq, enum err e, const struct redisReply *reply,
                      const char *why)
{
    struct page *page = arg;
    struct redis_store *st = page->st;
    (void)rq;
    (void)why;
    bool mine = e != ERR_CANCELED && page->epoch == st->worker->epoch;
    if (mine && e != ERR_OK)
        st->partitions[page->partition].audit = true; /* with the next connection */
    for (size_t at = JOB_HEAD; mine && e == ERR_OK && at + JOB_FIELDS <= reply_count(reply);
         at += JOB_FIELDS) {
        struct span id = reply_text_at(reply, at);
        uint64_t index = reply_u64_at(reply, at + 1, 0), token = reply_u64_at(reply, at + 3, 0);
        char text[MSGID_LEN + 1];
        if (!msgid_valid(id) || is_known(st->worker, id, index, token))
            continue;
        (void)snprintf(text, sizeof text, SPAN_FMT, SPAN_ARG(id));
        redis_release_unknown(st, page->partition, text, (uint32_t)index, token);
    }
    struct span cursor = reply_text_at(reply, 1);
    if (mine && e == ERR_OK && cursor.len > 0 && cursor.len < CURSOR_MAX)
        ask_page(st, page->partition, cursor);
    free(page);
}

static void ask_page(struct redis_store *st, unsigned partition, struct span cursor)
{
    char source[WORKER_NAME_MAX + 2];
    struct page *page = calloc(1, sizeof *page);
    struct redis_request *rq = redis_request_new(page_done, page);
    if (page == NULL || rq == NULL) {
        free(page);
        redis_request_unref(rq);
        st->partitions[partition].audit = true;
        return;
    }
    *page = (struct page){st, partition, st->worker->epoch};
    (void)snprintf(source, sizeof source, "c:%s", st->worker->name);
    redis_script(rq, SCRIPT_JOBS, st->partitions[partition].tag, 8);
    redis_arg_str(rq, source);
    redis_arg(rq, cursor);
    redis_arg_u64(rq, PAGE);
    redis_arg(rq, SPAN("")); /* sender, rcpt, id: any */
    redis_arg(rq, SPAN(""));
    redis_arg(rq, SPAN(""));
    redis_arg_u64(rq, 0);
    redis_arg_u64(rq, 0);
    redis_link_send(st->control, rq);
}

void redis_audit(struct redis_store *st, unsigned partition)
{
    if (st->worker->name[0] == '\0')
        return;
    st->partitions[partition].audit = false;
    redis_finishes_flush(st); /* ahead of the question */
    ask_page(st, partition, SPAN(""));
}

/* --- After a failover ---------------------------------------------------------------------------- */

static void reasserted(void *arg, struct redis_request *rq, enum err e, const struct redisReply *reply,
                       const char *why)
{
    (void)arg, (void)rq, (void)e, (void)reply, (void)why; /* what was lost is STALE when it is finished */
}

static void reassert_partition(struct redis_store *st, unsigned partition)
{
    const struct redis_claim *c = st->worker->claims;
    while (c != NULL) {
        struct redis_request *args = redis_request_new(NULL, NULL);
        struct redis_request *rq = redis_request_new(reasserted, NULL);
        size_t n = 0;
        for (; args != NULL && c != NULL && n < REASSERT_MAX; c = c->next) {
            if (c->claim.id.partition != partition || c->ended || strcmp(c->worker, st->worker->name) != 0)
                continue;
            redis_arg_str(args, c->claim.id.id);
            redis_arg_u64(args, c->claim.index);
            redis_arg_u64(args, c->claim.token);
            n++;
        }
        if (n > 0 && rq != NULL) {
            redis_script(rq, SCRIPT_REASSERT, st->partitions[partition].tag, 1 + n * 3);
            redis_arg_str(rq, st->worker->name);
            redis_args(rq, args);
            rq->flags = REQUEST_RESEND | REQUEST_WAIT;
            rq->give_up_ms = ms_after(loop_now(st->loop), st->lease_ms);
            redis_link_send(st->control, rq);
        } else {
            redis_request_unref(rq);
        }
        redis_request_unref(args);
        if (args == NULL)
            return;
    }
}

void redis_reassert(struct redis_store *st)
{
    for (unsigned i = 0; i < st->npartitions; i++)
        reassert_partition(st, i);
}
