/* cli/cmd_freeze.c — freezing and thawing: queues as a whole, or messages one by one. */
#include "cli/commands.h"
#include "cli/edit.h"
#include "cli/remote.h"
#include "queue/names.h"
#include "queue/queue_name.h"

#include <stdlib.h>

/* --- queues -----------------------------------------------------------------------------------------------
 */

struct freezing {
    struct remote r;
    bool freeze, nomem;
    struct admin_filter filter;
    struct names queues; /* those to be changed, as Redis names them */
    struct admin_result result;
};

static enum err add_queue(struct freezing *z, struct span domain, uint32_t klass)
{
    char name[QUEUE_NAME_BYTES];
    z->result.matched++;
    return names_add(&z->queues, span_of(name, queue_name_write(domain, klass, name)));
}

/* One that is frozen in a part only, because a command broke off, is frozen again. */
static bool on_queue(void *arg, const struct admin_queue *q)
{
    struct freezing *z = ((struct remote *)arg)->user;
    const struct admin_filter *f = &z->filter;
    bool frozen = q->frozen_ms != 0;
    if ((f->domain.len > 0 && !(span_ieq(q->domain, f->domain) && (f->any_class || q->klass == f->klass))) ||
        (!z->freeze && !frozen))
        return true;
    z->result.changed += frozen != z->freeze;
    z->nomem = add_queue(z, q->domain, q->klass) != ERR_OK;
    return !z->nomem;
}

static int find_queues(struct freezing *z)
{
    z->r.user = z;
    if (remote_asked(&z->r, admin_queues(z->r.admin, on_queue, remote_done, &z->r)))
        (void)remote_wait(&z->r);
    if (z->r.code != CLI_OK || z->result.matched > 0 || z->filter.domain.len == 0)
        return z->r.code;
    if (!z->freeze)
        return remote_queue_known(&z->r, &z->filter);
    /* Before any mail for it comes. */
    z->nomem = add_queue(z, z->filter.domain, z->filter.klass) != ERR_OK;
    z->result.changed = 1;
    return CLI_OK;
}

static void on_changed(void *arg, enum err e, uint64_t n, const char *why)
{
    struct remote *r = arg;
    ((struct freezing *)r->user)->result.changed += n > 0;
    remote_ended(r, e, why);
}

static int change_queues(struct freezing *z)
{
    struct span by = remote_user(), reason = span_cstr(cli_opt(z->r.cli, "reason"));
    z->result.changed = 0;
    for (size_t i = 0; i < z->queues.count && z->r.code == CLI_OK; i++) {
        struct span domain;
        uint32_t klass;
        (void)queue_name_read(names_at(&z->queues, i), &domain, &klass);
        enum err e = z->freeze ? admin_freeze(z->r.admin, domain, klass, by, reason, on_changed, &z->r)
                               : admin_thaw(z->r.admin, domain, klass, on_changed, &z->r);
        if (remote_asked(&z->r, e))
            (void)remote_wait(&z->r);
    }
    return z->r.code;
}

static int freeze_queues(struct cli *cli, const struct admin_filter *f, bool freeze)
{
    struct freezing z = {.freeze = freeze, .filter = *f};
    int code = remote_open(&z.r, cli);
    names_init(&z.queues);
    if (code == CLI_OK)
        code = find_queues(&z);
    if (code == CLI_OK && z.nomem)
        code = cli_fail(cli, CLI_FAILED, "out of memory");
    if (code == CLI_OK && cli_opt(cli, "dry-run") == NULL)
        code = change_queues(&z);
    if (code == CLI_OK)
        code = edit_print(cli, "queues", &z.result);
    names_done(&z.queues);
    remote_close(&z.r);
    return code;
}

/* --- either -----------------------------------------------------------------------------------------------
 */

static int freeze_or_thaw(struct cli *cli, bool freeze)
{
    struct admin_filter f = {.places = ADMIN_QUEUED};
    struct buf domain;
    buf_init(&domain, 512);
    int code = remote_filter(cli, true, &domain, &f);
    bool messages = cli_opt(cli, "messages") != NULL || remote_finds_messages(&f);
    if (code == CLI_OK && !messages)
        code = freeze_queues(cli, &f, freeze);
    else if (code == CLI_OK)
        code = edit_messages(cli, freeze ? ADMIN_FREEZE : ADMIN_THAW,
                             freeze ? ADMIN_QUEUED | ADMIN_IN_HAND | ADMIN_STAGED : ADMIN_QUEUED);
    buf_done(&domain);
    return code;
}

int cmd_queue_freeze(struct cli *cli)
{
    return freeze_or_thaw(cli, true);
}

int cmd_queue_thaw(struct cli *cli)
{
    return freeze_or_thaw(cli, false);
}
