#include "router/sources.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct source {
    char name[CONF_NAME_MAX + 1];
    bool alive, told, found;
};
struct sources {
    const struct conf_root *root; /* of the last configuration */
    struct source *items;         /* by name */
    size_t n;
    struct damping_options options;
    struct damping room; /* of it, the number of announcements alone */
};

struct sources *sources_new(void)
{
    struct sources *s = calloc(1, sizeof *s);
    if (s != NULL)
        damping_init(&s->room);
    return s;
}

void sources_free(struct sources *s)
{
    if (s == NULL)
        return;
    free(s->items);
    free(s);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct source *)a)->name, ((const struct source *)b)->name);
}

static struct source *find(const struct sources *s, struct span name)
{
    size_t low = 0, high = s->n;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        int order = span_cmp(span_cstr(s->items[mid].name), name);
        if (order == 0)
            return &s->items[mid];
        if (order < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return NULL;
}

static size_t distinct(struct source *items, size_t n)
{
    size_t out = 0;
    if (n > 0)
        qsort(items, n, sizeof *items, by_name);
    for (size_t i = 0; i < n; i++)
        if (out == 0 || strcmp(items[out - 1].name, items[i].name) != 0)
            items[out++] = items[i];
    return out;
}

enum err sources_configure(struct sources *s, const struct conf_root *root)
{
    size_t room = 0, n = 0;
    for (size_t i = 0; i < root->connectors.count; i++)
        room += root->connectors.items[i].source_bridgeheads.count;
    struct source *items = calloc(room + 1, sizeof *items);
    if (items == NULL)
        return ERR_NOMEM;
    for (size_t i = 0; i < root->connectors.count; i++)
        for (size_t k = 0; k < root->connectors.items[i].source_bridgeheads.count; k++) {
            const char *name = root->connectors.items[i].source_bridgeheads.items[k];
            const struct source *old = s->n == 0 ? NULL : find(s, span_cstr(name));
            items[n] = old != NULL ? *old : (struct source){.alive = true, .told = true};
            (void)snprintf(items[n++].name, sizeof items->name, "%s", name);
        }
    free(s->items);
    s->items = items;
    s->n = distinct(items, n);
    s->root = root;
    s->options = (struct damping_options){.floods_per_hour = (unsigned)root->router.damping.floods_per_hour};
    return ERR_OK;
}

bool sources_any(const struct sources *s)
{
    return s->n > 0;
}

void sources_begin(struct sources *s)
{
    for (size_t i = 0; i < s->n; i++)
        s->items[i].found = false;
}

void sources_alive(struct sources *s, struct span name)
{
    struct source *one = find(s, name);
    if (one != NULL)
        one->found = true;
}

void sources_end(struct sources *s)
{
    for (size_t i = 0; i < s->n; i++)
        s->items[i].alive = s->items[i].found;
}

/* Is one of those that a connector lists UP, as found out or as it was told? */
static bool any_up(const struct sources *s, const struct conf_connector *c, bool as_told)
{
    bool any = c->source_bridgeheads.count == 0;
    for (size_t i = 0; !any && i < c->source_bridgeheads.count; i++) {
        const struct source *one = find(s, span_cstr(c->source_bridgeheads.items[i]));
        any = one == NULL || (as_told ? one->told : one->alive);
    }
    return any;
}

bool sources_due(const struct sources *s, ms_t now_ms, enum ls_level *ret)
{
    bool due = false;
    for (size_t i = 0; i < s->n; i++)
        due = due || s->items[i].alive != s->items[i].told;
    if (!due || !damping_room(&s->room, &s->options, now_ms))
        return false;
    *ret = LS_LEVEL_USER;
    for (size_t i = 0; i < s->root->connectors.count; i++) {
        const struct conf_connector *c = &s->root->connectors.items[i];
        if (any_up(s, c, true) != any_up(s, c, false))
            *ret = LS_LEVEL_MINOR;
    }
    return true;
}

void sources_told(struct sources *s, ms_t now_ms)
{
    bool news = false;
    for (size_t i = 0; i < s->n; i++) {
        news = news || s->items[i].told != s->items[i].alive;
        s->items[i].told = s->items[i].alive;
    }
    if (news)
        damping_told(&s->room, &s->options, now_ms);
}

bool sources_up(const struct sources *s, struct span source)
{
    const struct source *one = s->n == 0 ? NULL : find(s, source);
    return one == NULL || one->alive;
}

bool sources_gone(const struct sources *s, const struct conf_connector *c)
{
    return !any_up(s, c, false);
}
