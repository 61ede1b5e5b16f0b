#include "router/health.h"

#include "linkstate/record_config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TARGET_NAME_MAX = 320, TARGETS_KEPT = 64, STRAYS_MAX = 100 };

struct health_target {
    char name[TARGET_NAME_MAX + 1];
    bool up, seen, told_down;
    ms_t since_ms; /* wall */
    char error[ROUTING_TEXT_MAX + 1];
};
struct word {                       /* an administrator's */
    enum routing_override override; /* AUTO: there is none */
    ms_t until_ms;                  /* wall; 0: until it is taken back */
    char by[65], reason[ROUTING_TEXT_MAX + 1], why[65 + 2 + ROUTING_TEXT_MAX]; /* why: both, for people */
};
struct health_connector {
    char name[ROUTING_NAME_MAX + 1];
    uint16_t port;
    struct damping damping;
    ms_t since_ms; /* wall; of what is announced */
    char error[ROUTING_TEXT_MAX + 1];
    struct word word;
    bool worded; /* named by the words that are being told */
    bool probing, changed, announced_up;
    bool telling;          /* the record that is due is due to its targets */
    ms_t targets_probe_ms; /* while the connector is UP and a target is not */
    struct health_target *targets;
    size_t ntargets;
};
struct stray { /* a word about what is no connector: one that a reload adds has it from its first record on */
    char name[ROUTING_NAME_MAX + 1];
    struct word word;
};
struct health {
    struct damping_options options;
    struct stray *strays;
    size_t nstrays;
    struct health_connector *items; /* by name */
    size_t n, next_changed;
    char **gone; /* names of connectors that are no more, to be told once */
    size_t ngone;
    char gone_name[ROUTING_NAME_MAX + 1];
    ms_t targets_told_ms;
};

static void keep(char *out, size_t size, struct span s)
{
    s = span_first(s, size - 1);
    if (s.len > 0)
        memcpy(out, s.ptr, s.len);
    out[s.len] = '\0';
}

struct health *health_new(void)
{
    return calloc(1, sizeof(struct health));
}

static void free_items(struct health_connector *items, size_t n)
{
    for (size_t i = 0; i < n; i++)
        free(items[i].targets);
    free(items);
}

static void free_gone(struct health *h)
{
    for (size_t i = 0; i < h->ngone; i++)
        free(h->gone[i]);
    free(h->gone);
    h->gone = NULL;
    h->ngone = 0;
}

void health_free(struct health *h)
{
    if (h == NULL)
        return;
    free_items(h->items, h->n);
    free_gone(h);
    free(h->strays);
    free(h);
}

/* --- Finding ---------------------------------------------------------------------------------------- */

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct health_connector *)a)->name, ((const struct health_connector *)b)->name);
}

struct health_connector *health_find(struct health *h, struct span connector)
{
    struct health_connector key;
    if (connector.len > ROUTING_NAME_MAX || h->n == 0)
        return NULL;
    keep(key.name, sizeof key.name, connector);
    return bsearch(&key, h->items, h->n, sizeof *h->items, by_name);
}

static struct health_target *find_target(struct health_connector *c, struct span name)
{
    for (size_t i = 0; i < c->ntargets; i++)
        if (span_eq(span_cstr(c->targets[i].name), name))
            return &c->targets[i];
    return NULL;
}

struct span health_name(const struct health_connector *c)
{
    return span_cstr(c->name);
}

uint16_t health_port(const struct health_connector *c)
{
    return c->port;
}

size_t health_targets(const struct health_connector *c)
{
    return c->ntargets;
}

struct span health_target(const struct health_connector *c, size_t i)
{
    return span_cstr(c->targets[i].name);
}

/* --- Configuration ---------------------------------------------------------------------------------- */

static void set_options(struct health *h, const struct conf_damping *d)
{
    h->options = (struct damping_options){.glitch_attempts = (unsigned)d->glitch_attempts,
                                          .glitch_interval_ms = d->glitch_interval_ms,
                                          .probe_interval_ms = d->probe_interval_ms,
                                          .penalty_per_down = (unsigned)d->penalty,
                                          .suppress_above = (unsigned)d->hold_above,
                                          .reuse_below = (unsigned)d->release_below,
                                          .half_life_ms = d->half_life_ms,
                                          .floods_per_hour = (unsigned)d->floods_per_hour};
}

static void set_word(struct word *w, enum routing_override override, ms_t until_ms, struct span by,
                     struct span reason)
{
    w->override = override;
    w->until_ms = until_ms;
    keep(w->by, sizeof w->by, by);
    keep(w->reason, sizeof w->reason, reason);
    (void)snprintf(w->why, sizeof w->why, "%s%s%s", w->by, by.len > 0 && reason.len > 0 ? ": " : "",
                   w->reason);
}

static bool is_up(const struct health_connector *c)
{
    return c->word.override == ROUTING_AUTO ? damping_up(&c->damping) : c->word.override == ROUTING_UP;
}

static void take_stray(const struct health *h, struct health_connector *c, struct span name)
{
    for (size_t i = 0; i < h->nstrays; i++) {
        if (span_eq(span_cstr(h->strays[i].name), name))
            c->word = h->strays[i].word;
    }
    c->announced_up = is_up(c);
}

static bool fill(struct health *h, struct health_connector *to, const struct conf_connector *c,
                 const struct conf_root *root)
{
    struct health_connector *old = health_find(h, span_cstr(c->name));
    damping_init(&to->damping);
    if (old == NULL)
        take_stray(h, to, span_cstr(c->name));
    if (old != NULL) {
        *to = *old;
        to->targets = NULL;
        to->ntargets = 0;
        to->probing = false;
    }
    keep(to->name, sizeof to->name, span_cstr(c->name));
    to->port = (uint16_t)(c->port != 0 ? c->port : root->delivery.port);
    to->changed = true;
    to->targets = calloc(c->smart_hosts.count + 1, sizeof *to->targets);
    if (to->targets == NULL)
        return false;
    for (size_t i = 0; i < c->smart_hosts.count && to->ntargets < TARGETS_KEPT; i++) {
        struct span name = span_cstr(c->smart_hosts.items[i]);
        struct health_target *t = old == NULL ? NULL : find_target(old, name);
        struct health_target *next = &to->targets[to->ntargets];
        if (find_target(to, name) != NULL)
            continue;
        if (t != NULL)
            *next = *t;
        else
            next->up = true;
        keep(next->name, sizeof next->name, name);
        to->ntargets++;
    }
    return true;
}

static bool note_gone(struct health *h, const struct health_connector *items, size_t n)
{
    h->gone = calloc(h->n + 1, sizeof *h->gone);
    for (size_t i = 0; h->gone != NULL && i < h->n; i++) {
        if (n > 0 && bsearch(&h->items[i], items, n, sizeof *items, by_name) != NULL)
            continue;
        h->gone[h->ngone] = span_dup(span_cstr(h->items[i].name));
        if (h->gone[h->ngone] == NULL)
            return false;
        h->ngone++;
    }
    return h->gone != NULL;
}

enum err health_configure(struct health *h, const struct conf_root *root, ms_t now_ms)
{
    size_t n = 0;
    struct health_connector *items = calloc(root->connectors.count + 1, sizeof *items);
    bool ok = items != NULL;
    (void)now_ms;
    set_options(h, &root->router.damping);
    for (size_t i = 0; ok && i < root->connectors.count; i++)
        if (!connector_by_dns(&root->connectors.items[i]))
            ok = fill(h, &items[n++], &root->connectors.items[i], root);
    if (ok && n > 0)
        qsort(items, n, sizeof *items, by_name);
    free_gone(h);
    if (!ok || !note_gone(h, items, n)) {
        free_items(items, n);
        return ERR_NOMEM;
    }
    free_items(h->items, h->n);
    h->items = items;
    h->n = n;
    h->next_changed = 0;
    return ERR_OK;
}

/* --- What is announced ------------------------------------------------------------------------------ */

/* After every event: true when the announced state is another. */
static bool settle(struct health_connector *c, ms_t wall_ms)
{
    bool up = is_up(c);
    c->changed = true;
    if (up == c->announced_up)
        return false;
    c->announced_up = up;
    c->since_ms = wall_ms;
    return true;
}

bool health_up(const struct health *h, struct span connector)
{
    const struct health_connector *c = health_find((struct health *)(uintptr_t)h, connector);
    return c == NULL || is_up(c);
}

bool health_target_up(const struct health *h, struct span connector, struct span target)
{
    struct health_connector *c = health_find((struct health *)(uintptr_t)h, connector);
    const struct health_target *t = c == NULL ? NULL : find_target(c, target);
    return t == NULL || t->up;
}

/* While none of them answers, the state of the connector says all there is to say. */
static bool untold(const struct health_connector *c)
{
    bool any_up = false, any_new = false;
    for (size_t i = 0; i < c->ntargets; i++) {
        any_up = any_up || c->targets[i].up;
        any_new = any_new || c->targets[i].up == c->targets[i].told_down;
    }
    return any_up && any_new;
}

bool health_targets_due(struct health *h, ms_t now_ms)
{
    bool due = false;
    for (size_t i = 0; i < h->n && now_ms >= ms_after(h->targets_told_ms, h->options.glitch_interval_ms);
         i++) {
        struct health_connector *c = &h->items[i];
        c->telling = untold(c) && damping_room(&c->damping, &h->options, now_ms);
        due = due || c->telling;
    }
    return due;
}

void health_targets_told(struct health *h, ms_t now_ms)
{
    for (size_t i = 0; i < h->n; i++) {
        struct health_connector *c = &h->items[i];
        if (c->telling) {
            damping_told(&c->damping, &h->options, now_ms);
            c->changed = true; /* the next master should know */
        }
        c->telling = false;
        for (size_t k = 0; k < c->ntargets; k++)
            c->targets[k].told_down = !c->targets[k].up;
    }
    h->targets_told_ms = now_ms;
}

size_t health_down(const struct health *h)
{
    size_t n = 0;
    for (size_t i = 0; i < h->n; i++)
        n += !is_up(&h->items[i]);
    return n;
}

const char *health_why(const struct health *h, struct span connector)
{
    const struct health_connector *c = health_find((struct health *)(uintptr_t)h, connector);
    if (c == NULL)
        return "";
    return c->word.override != ROUTING_AUTO ? c->word.why : is_up(c) ? "it answers" : c->error;
}

/* --- Events ----------------------------------------------------------------------------------------- */

bool health_report(struct health *h, const struct routing_report *r, ms_t now_ms, ms_t wall_ms)
{
    struct health_connector *c = health_find(h, r->connector);
    struct health_target *t = c == NULL ? NULL : find_target(c, r->target);
    bool any = false;
    if (t == NULL)
        return false;
    if (t->up != r->ok || !t->seen)
        t->since_ms = wall_ms;
    if (t->up != r->ok)
        c->targets_probe_ms = ms_after(now_ms, h->options.probe_interval_ms);
    t->up = r->ok;
    t->seen = true;
    if (!r->ok) {
        keep(t->error, sizeof t->error, r->text);
        (void)snprintf(c->error, sizeof c->error, "%.100s: %.150s", t->name, t->error);
    }
    for (size_t i = 0; i < c->ntargets; i++)
        any = any || c->targets[i].up;
    if (r->ok)
        (void)damping_report(&c->damping, &h->options, true, now_ms);
    else if (!any && (c->damping.state == DAMPING_UP || now_ms >= damping_next(&c->damping)))
        (void)damping_report(&c->damping, &h->options, false, now_ms);
    return settle(c, wall_ms);
}

bool health_words_begin(struct health *h)
{
    h->nstrays = 0;
    for (size_t i = 0; i < h->n; i++)
        h->items[i].worded = false;
    return h->n > 0;
}

static void add_stray(struct health *h, struct span name, enum routing_override word, ms_t until_ms,
                      struct span by, struct span reason)
{
    struct stray *p = h->nstrays == STRAYS_MAX ? NULL : realloc(h->strays, (h->nstrays + 1) * sizeof *p);
    if (p == NULL)
        return;
    h->strays = p;
    p += h->nstrays++;
    keep(p->name, sizeof p->name, name);
    set_word(&p->word, word, until_ms, by, reason);
}

void health_word(struct health *h, struct span connector, enum routing_override word, ms_t until_ms,
                 struct span by, struct span reason)
{
    struct health_connector *c = health_find(h, connector);
    if (c == NULL) {
        add_stray(h, connector, word, until_ms, by, reason);
        return;
    }
    c->worded = true;
    set_word(&c->word, word, until_ms, by, reason);
}

static void take_back(struct health_connector *c)
{
    set_word(&c->word, ROUTING_AUTO, 0, SPAN(""), SPAN(""));
}

bool health_words_end(struct health *h, ms_t wall_ms)
{
    bool changed = false;
    for (size_t i = 0; i < h->n; i++) {
        struct health_connector *c = &h->items[i];
        bool had = c->word.override != ROUTING_AUTO;
        if (!c->worded)
            take_back(c);
        if (had || c->worded)
            changed = settle(c, wall_ms) || changed;
    }
    return changed;
}

bool health_tick(struct health *h, ms_t now_ms, ms_t wall_ms)
{
    bool changed = false;
    for (size_t i = 0; i < h->n; i++) {
        struct health_connector *c = &h->items[i];
        bool over = c->word.override != ROUTING_AUTO && c->word.until_ms != 0 && wall_ms >= c->word.until_ms;
        if (over)
            take_back(c);
        if (damping_tick(&c->damping, &h->options, now_ms) || over)
            changed = settle(c, wall_ms) || changed;
    }
    return changed;
}

/* --- Probes ----------------------------------------------------------------------------------------- */

static bool any_down(const struct health_connector *c)
{
    for (size_t i = 0; i < c->ntargets; i++)
        if (!c->targets[i].up)
            return true;
    return false;
}

/* UINT64_MAX: no need. */
static ms_t probe_at(const struct health_connector *c)
{
    if (c->damping.state != DAMPING_UP)
        return damping_next(&c->damping);
    return any_down(c) ? c->targets_probe_ms : UINT64_MAX;
}

struct health_connector *health_probe_due(struct health *h, ms_t now_ms)
{
    for (size_t i = 0; i < h->n; i++) {
        struct health_connector *c = &h->items[i];
        if (c->probing || c->ntargets == 0 || now_ms < probe_at(c))
            continue;
        c->targets_probe_ms = ms_after(now_ms, h->options.probe_interval_ms);
        return c;
    }
    return NULL;
}

void health_probing(struct health *h, struct health_connector *c)
{
    (void)h;
    c->probing = true;
}

void health_probed(struct health *h, struct span connector)
{
    struct health_connector *c = health_find(h, connector);
    if (c != NULL)
        c->probing = false;
}

ms_t health_next(const struct health *h)
{
    ms_t at = UINT64_MAX;
    for (size_t i = 0; i < h->n; i++)
        if (!h->items[i].probing && probe_at(&h->items[i]) < at)
            at = probe_at(&h->items[i]);
    return at;
}

/* --- Telling, and being told by the master before ----------------------------------------------------- */

static const char *const state_names[] = {
    [DAMPING_UP] = "UP", [DAMPING_GLITCH] = "GLITCH", [DAMPING_DOWN] = "DOWN", [DAMPING_HELD] = "HELD"};

static ms_t to_wall(ms_t at_ms, ms_t now_ms, ms_t wall_ms)
{
    return at_ms == UINT64_MAX || at_ms == 0 ? 0
           : at_ms > now_ms                  ? ms_after(wall_ms, at_ms - now_ms)
                                             : wall_ms;
}

bool health_changed(struct health *h, ms_t now_ms, ms_t wall_ms, struct routing_link *ret,
                    struct routing_target *targets)
{
    if (h->ngone > 0) {
        h->ngone--;
        keep(h->gone_name, sizeof h->gone_name, span_cstr(h->gone[h->ngone]));
        free(h->gone[h->ngone]);
        *ret = (struct routing_link){.name = span_cstr(h->gone_name)};
        return true;
    }
    for (size_t n = 0; n < h->n; n++) {
        struct health_connector *c = &h->items[(h->next_changed + n) % h->n];
        if (!c->changed)
            continue;
        h->next_changed = (h->next_changed + n + 1) % h->n;
        c->changed = false;
        for (size_t i = 0; i < c->ntargets; i++)
            targets[i] =
                (struct routing_target){.name = span_cstr(c->targets[i].name),
                                        .up = c->targets[i].up,
                                        .since_ms = c->targets[i].since_ms,
                                        .error = span_cstr(c->targets[i].up ? "" : c->targets[i].error)};
        *ret = (struct routing_link){
            .name = span_cstr(c->name),
            .up = is_up(c),
            .state = span_cstr(state_names[c->damping.state]),
            .since_ms = c->since_ms,
            .failures = c->damping.failures,
            .penalty = (uint32_t)damping_penalty(&c->damping, &h->options, now_ms),
            .written_ms = wall_ms,
            .room_ms = c->damping.room_ms > now_ms ? to_wall(c->damping.room_ms, now_ms, wall_ms) : 0,
            .held_until_ms = to_wall(damping_held_until(&c->damping, &h->options), now_ms, wall_ms),
            .next_probe_ms = to_wall(damping_next(&c->damping), now_ms, wall_ms),
            .error = span_cstr(c->error),
            .override = c->word.override,
            .override_until_ms = c->word.until_ms,
            .override_by = span_cstr(c->word.by),
            .override_reason = span_cstr(c->word.reason),
            .targets = targets,
            .ntargets = c->ntargets,
        };
        return true;
    }
    return false;
}

/* A clock that is behind the one of the master before decays nothing, and makes no hold longer than an hour's
 * room. */
static void restore_penalty(struct health_connector *c, const struct damping_options *o,
                            const struct routing_link *k, ms_t now_ms, ms_t wall_ms)
{
    ms_t full = ms_after(now_ms, (ms_t)60 * 60000);
    c->damping.penalty = k->penalty;
    c->damping.updated_ms = now_ms;
    c->damping.penalty = damping_penalty(
        &c->damping, o, k->written_ms < wall_ms ? ms_after(now_ms, wall_ms - k->written_ms) : now_ms);
    c->damping.room_ms = k->room_ms > wall_ms ? ms_after(now_ms, k->room_ms - wall_ms) : 0;
    if (c->damping.room_ms > full)
        c->damping.room_ms = full;
}

/* Until the words themselves are read, which may have been taken back meanwhile: the first record of a master
 * does not announce the opposite of what an administrator says. */
static void restore_word(struct health_connector *c, const struct routing_link *k, ms_t wall_ms)
{
    if (k->override == ROUTING_AUTO || (k->override_until_ms != 0 && wall_ms >= k->override_until_ms))
        return;
    set_word(&c->word, k->override, k->override_until_ms, k->override_by, k->override_reason);
}

void health_restore(struct health *h, const struct routing_link *k, ms_t now_ms, ms_t wall_ms)
{
    struct health_connector *c = health_find(h, k->name);
    if (c == NULL)
        return;
    for (unsigned s = 0; s < ARRAY_LEN(state_names); s++)
        if (span_eq(k->state, span_cstr(state_names[s])))
            c->damping.state = (enum damping_state)s;
    c->damping.failures = k->failures;
    restore_penalty(c, &h->options, k, now_ms, wall_ms);
    c->damping.suppressed = c->damping.state == DAMPING_HELD || k->penalty > h->options.suppress_above;
    if (c->damping.state != DAMPING_UP)
        c->damping.next_ms = ms_after(now_ms, k->next_probe_ms > wall_ms ? k->next_probe_ms - wall_ms : 0);
    c->since_ms = k->since_ms;
    restore_word(c, k, wall_ms);
    c->announced_up = is_up(c);
    keep(c->error, sizeof c->error, k->error);
    for (size_t i = 0; i < k->ntargets; i++) {
        struct health_target *t = find_target(c, k->targets[i].name);
        if (t == NULL)
            continue;
        t->up = k->targets[i].up;
        t->seen = true;
        t->since_ms = k->targets[i].since_ms;
        keep(t->error, sizeof t->error, k->targets[i].error);
    }
}
