/* What changed from one table to the next, as lines of the history. */
#include "router/core.h"

#include <stdio.h>
#include <string.h>

/* Collected, and sent when full or at the end. */
struct pages {
    struct router *r;
    struct routing_event events[ROUTING_EVENTS_AT_ONCE];
    char versions[ROUTING_EVENTS_AT_ONCE][40];
    size_t n;
};

static void send(struct pages *p)
{
    if (p->n > 0)
        (void)!routing_events_put(p->r->routing, &p->r->seat, p->events, p->n, NULL, NULL);
    p->n = 0;
}

static void add(struct pages *p, const char *what, struct span group, struct span connector,
                const struct ls_version *v, const char *text)
{
    char *version = p->versions[p->n];
    (void)snprintf(version, sizeof p->versions[0], "%u.%u.%u", v->major, v->minor, v->user);
    p->events[p->n] = (struct routing_event){.what = span_cstr(what),
                                             .group = group,
                                             .connector = connector,
                                             .version = span_cstr(version),
                                             .text = span_cstr(text)};
    if (++p->n == ROUTING_EVENTS_AT_ONCE)
        send(p);
}

void history_say(struct router *r, const char *what, struct span group, struct span connector,
                 const struct ls_version *v, const char *text)
{
    struct pages p = {.r = r};
    add(&p, what, group, connector, v, text);
    send(&p);
}

static const struct record_connector *find(const struct record *r, struct span name)
{
    for (size_t i = 0; i < r->nconnectors; i++)
        if (span_eq(r->connectors[i].name, name))
            return &r->connectors[i];
    return NULL;
}

static void diff_record(struct pages *p, const struct lsdb_record *before, const struct lsdb_record *now)
{
    struct record old, new;
    const struct lsa *a = &now->lsa;
    bool own = span_eq(a->group, span_cstr(p->r->root->routing_group.name));
    if (record_parse(before->body, &old, NULL) != ERR_OK)
        return;
    if (record_parse(now->body, &new, NULL) == ERR_OK) {
        for (size_t i = 0; i < new.nconnectors; i++) {
            const struct record_connector *c = &new.connectors[i], *was = find(&old, c->name);
            if (was != NULL && was->up != c->up)
                add(p, c->up ? "UP" : "DOWN", a->group, c->name, &a->version,
                    own ? watcher_why(p->r, c->name) : "");
        }
        if (before->lsa.version.major != a->version.major || before->lsa.version.user != a->version.user)
            add(p, "CHANGED", a->group, SPAN(""), &a->version,
                before->lsa.version.major != a->version.major ? "its configuration"
                                                              : "its members or master");
        record_done(&new);
    }
    record_done(&old);
}

void history_diff(struct router *r, const struct lsdb *before, const struct lsdb *now)
{
    struct pages p = {.r = r};
    for (size_t i = 0; i < now->nslots; i++) {
        const struct lsdb_record *n = lsdb_at(now, i)->record;
        if (n == NULL)
            continue;
        const struct lsdb_slot *slot = lsdb_find(before, n->lsa.group);
        const struct lsdb_record *old = slot != NULL ? slot->record : NULL;
        if (old == NULL) {
            add(&p, "APPEARED", n->lsa.group, SPAN(""), &n->lsa.version, "");
        } else if (old != n) {
            if (!lsa_same_body(&old->lsa, &n->lsa))
                diff_record(&p, old, n);
            if (!lsa_same_key(&old->lsa, &n->lsa))
                add(&p, "CHANGED", n->lsa.group, SPAN(""), &n->lsa.version, "its key");
        }
    }
    for (size_t i = 0; i < before->nslots; i++) {
        const struct lsdb_record *b = lsdb_at(before, i)->record;
        const struct lsdb_slot *slot = b == NULL ? NULL : lsdb_find(now, b->lsa.group);
        if (b != NULL && (slot == NULL || slot->record == NULL))
            add(&p, "GONE", b->lsa.group, SPAN(""), &b->lsa.version, "not refreshed, or purged");
    }
    send(&p);
}
