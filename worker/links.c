/* worker/links.c — the table of links by name; what concerns all of them. */
#include "common/log.h"
#include "worker/core.h"

static size_t name_bucket(const char *name)
{
    uint32_t h = UINT32_C(2166136261);

    for (; *name != '\0'; name++)
        h = (h ^ (uint8_t)*name) * UINT32_C(16777619);
    return h % DUE_BUCKETS;
}

/* Whether an existing link of that name still leads where the route does: two connectors may deliver the
 * same domain by DNS. */
static bool same_way(const struct link *link, const struct route *route)
{
    return link->connector == route->connector;
}

struct link *links_get(struct worker *w, const struct route *route, struct span domain)
{
    char name[LINK_NAME_MAX];
    struct link **at, *link;

    route_link_name(route, domain, name);
    at = &w->by_name[name_bucket(name)];
    for (link = *at; link != NULL; link = link->next_hash)
        if (strcmp(link->name, name) == 0 && same_way(link, route))
            return link;
    if (w->nlinks >= LINKS_MAX)
        return NULL;
    link = calloc(1, sizeof *link);
    if (link == NULL)
        return NULL;
    link->w = w;
    link->set = settings_ref(w->set);
    link->connector = route->connector;
    memcpy(link->name, name, sizeof link->name);
    link->next_hash = *at;
    *at = link;
    link->listed = true;
    link->next = w->links;
    w->links = link;
    w->nlinks++;
    metric_inc(&w->m.links_now);
    link->busy_ms = loop_now(w->loop);
    link_set_kind(link, route, domain);
    return link;
}

static void unlist(struct link *link)
{
    struct link **at = &link->w->by_name[name_bucket(link->name)];

    if (!link->listed)
        return;
    while (*at != link)
        at = &(*at)->next_hash;
    *at = link->next_hash;
    link->listed = false;
}

static void link_free(struct link *link)
{
    struct worker *w = link->w;

    unlist(link);
    link_fed(link);
    deferred_disarm(&link->turn);
    link_drop_plan(link);
    settings_unref(link->set);
    if (link->phase == LINK_HELD)
        metric_dec(&w->m.links_held);
    w->nlinks--;
    metric_dec(&w->m.links_now);
    free(link);
}

static bool empty(const struct link *link)
{
    return link->ndue == 0 && link->nparcels == 0 && link->nlanes == 0 && link->requests == 0;
}

static bool forgettable(const struct link *link, ms_t now)
{
    if (!empty(link))
        return false;
    if (link->phase == LINK_HELD && link->until_ms > now && !link->stale && !link->w->draining &&
        link->w->nlinks < LINKS_MAX / 2)
        return false; /* it knows when all of its queues were looked at */
    return link->stale || link->w->draining || ms_after(link->busy_ms, LINK_LINGER_MS) <= now;
}

void links_tick(struct worker *w)
{
    struct link **at = &w->links;
    ms_t now = loop_now(w->loop);

    while (*at != NULL) {
        struct link *link = *at;

        if (forgettable(link, now)) {
            *at = link->next;
            link_free(link);
            continue;
        }
        link_wake(link);
        at = &link->next;
    }
}

static void drop_dues(struct link *link)
{
    struct due *d = link->due;

    for (size_t n = link->ndue; n > 0; n--) {
        struct due *next = d->next;

        due_drop(d);
        d = next;
    }
}

void links_stale(struct worker *w)
{
    for (struct link *link = w->links; link != NULL; link = link->next) {
        link->stale = true;
        unlist(link);
        drop_dues(link);
        link_wake(link);
    }
}

void links_drain(struct worker *w)
{
    for (struct link *link = w->links; link != NULL; link = link->next) {
        drop_dues(link);
        for (struct lane *lane = link->lanes; lane != NULL; lane = lane->next)
            if (lane->state == LANE_CONNECTING && lane->parcel == NULL)
                lane->ops->abort(lane);
        link_wake(link);
    }
}

void links_abort(struct worker *w)
{
    for (struct link *link = w->links; link != NULL; link = link->next) {
        for (struct lane *lane = link->lanes; lane != NULL; lane = lane->next)
            lane->ops->abort(lane);
        for (struct parcel *p; (p = link_next_parcel(link)) != NULL;)
            parcel_release(p, 0); /* claimed under the lease that is gone, or soon will be */
        link_wake(link);
    }
}

void links_cut(struct worker *w)
{
    for (struct link *link = w->links; link != NULL; link = link->next)
        for (struct lane *lane = link->lanes; lane != NULL; lane = lane->next)
            lane->slot = false;
    links_abort(w);
}

/* --- The end ---------------------------------------------------------------------------------------- */

void links_stop(struct worker *w)
{
    reports_stop(w);
    for (struct link *link = w->links; link != NULL; link = link->next) {
        while (link->lanes != NULL) {
            struct lane *lane = link->lanes;

            link->lanes = lane->next;
            if (lane->parcel != NULL)
                parcel_discard(lane->parcel);
            lane->ops->free(lane);
        }
        for (struct parcel *p; (p = link_next_parcel(link)) != NULL;)
            parcel_discard(p);
    }
}

void links_free(struct worker *w)
{
    while (w->links != NULL) {
        struct link *link = w->links;

        w->links = link->next;
        while (link->due != NULL) {
            link->due->claiming = false;
            due_drop(link->due);
        }
        link_free(link);
    }
}
