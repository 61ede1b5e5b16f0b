#include "cli/failing.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* They come sorted by name (queue/admin.h). */
static bool on_link(void *arg, const struct admin_link *k)
{
    struct failing *f = ((struct remote *)arg)->user;
    if (k->state.failures == 0)
        return true;
    if (f->count == f->room) {
        size_t room = f->room == 0 ? 64 : 2 * f->room;
        struct failing_link *p = realloc(f->links, room * sizeof *p);
        f->nomem = p == NULL;
        if (p == NULL)
            return false;
        f->links = p;
        f->room = room;
    }
    struct failing_link *link = &f->links[f->count++];
    (void)snprintf(link->name, sizeof link->name, SPAN_FMT, SPAN_ARG(k->link));
    (void)snprintf(link->error, sizeof link->error, SPAN_FMT, SPAN_ARG(span_first(k->state.last_error, 256)));
    return true;
}

int failing_read(struct failing *f, struct remote *r)
{
    void *user = r->user;
    r->user = f;
    if (remote_asked(r, admin_links(r->admin, on_link, remote_done, r)))
        (void)remote_wait(r);
    r->user = user;
    return r->code == CLI_OK && f->nomem ? cli_fail(r->cli, CLI_FAILED, "out of memory") : r->code;
}

void failing_done(struct failing *f)
{
    free(f->links);
    *f = (struct failing){.links = NULL};
}

static int by_name(const void *key, const void *item)
{
    return strcmp(key, ((const struct failing_link *)item)->name);
}

const struct failing_link *failing_find(const struct failing *f, const char *name)
{
    return f->count == 0 ? NULL : bsearch(name, f->links, f->count, sizeof f->links[0], by_name);
}
