/* Is memory of Redis worth the time that saving it costs? Compressing and expanding a message of 4 KiB takes
 * a tenth of what it costs altogether, and most messages are gone within a second. So short ones stay as they
 * are while Redis has room, and are compressed as soon as they pile up.
 *
 * Asked once a second while bodies are stored, at one server: partitions are spread evenly over the servers.
 */
#include "queue/redis_reply.h"
#include "queue/redis_store_int.h"

enum {
    ASK_MS = 1000,
    PLAIN_BELOW = 8192, /* longer ones cost Redis as much as compressing them costs us */
};

size_t redis_room_plain_below(struct redis_store *st)
{
    st->room_matters = true;
    return st->roomy ? PLAIN_BELOW : 0;
}

static void room_told(void *arg, struct redis_request *rq, enum err e, const struct redisReply *reply,
                      const char *why)
{
    struct redis_store *st = arg;
    struct redis_facts f = {.used_memory = UINT64_MAX};
    struct span text;
    (void)rq, (void)why;
    if (e == ERR_CANCELED)
        return;
    st->asking_room = false;
    if (e == ERR_OK && reply_text(reply, &text))
        redis_facts_info(&f, text);
    st->roomy = redis_has_room(&f);
}

void redis_room_tick(struct redis_store *st)
{
    ms_t now = loop_now(st->loop);
    if (!st->usable || st->asking_room || !st->room_matters || now < st->room_next_ms)
        return;
    struct redis_request *rq = redis_request_new(room_told, st);
    if (rq == NULL)
        return;
    redis_command(rq, 2);
    redis_arg_str(rq, "INFO");
    redis_arg_str(rq, "memory");
    rq->flags = REQUEST_LENIENT;
    st->asking_room = true;
    st->room_matters = false;
    st->room_next_ms = ms_after(now, ASK_MS);
    redis_link_send(st->control, rq);
}
