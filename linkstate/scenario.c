#include "linkstate/scenario.h"

#include "linkstate/record_config.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { WORDS_MAX = 6 };

/* --- text
 * --------------------------------------------------------------------------------------------------- */

/* What stands behind a verb. */
enum shape { LINK_OR_CONNECTOR, LINK_OR_GROUP, LINK_GROUP_OR_ALL, GROUP, LINK_AND_COST };
static const struct {
    struct span name;
    enum shape shape;
    unsigned min, max; /* words behind the verb */
    const char *usage;
} verbs[SCENARIO__COUNT] = {
    [SCENARIO_DOWN] = {SPAN_INIT("down"), LINK_OR_CONNECTOR, 2, 2, "GROUP GROUP, or GROUP CONNECTOR"},
    [SCENARIO_UP] = {SPAN_INIT("up"), LINK_OR_CONNECTOR, 2, 2, "GROUP GROUP, or GROUP CONNECTOR"},
    [SCENARIO_CUT] = {SPAN_INIT("cut"), LINK_OR_GROUP, 1, 2, "GROUP GROUP, or GROUP"},
    [SCENARIO_HEAL] = {SPAN_INIT("heal"), LINK_GROUP_OR_ALL, 0, 2, "GROUP GROUP, GROUP, or nothing"},
    [SCENARIO_CRASH] = {SPAN_INIT("crash"), GROUP, 1, 1, "GROUP"},
    [SCENARIO_RESTART] = {SPAN_INIT("restart"), GROUP, 1, 1, "GROUP"},
    [SCENARIO_COST] = {SPAN_INIT("cost"), LINK_AND_COST, 3, 3, "GROUP GROUP COST"},
};

const char *scenario_name(enum scenario_kind kind)
{
    return (unsigned)kind < SCENARIO__COUNT ? verbs[kind].name.ptr : "?";
}

struct parser {
    const struct sim *s;
    struct scenario sc;
    size_t cap;
    size_t line;
    ms_t last_ms;
    struct errctx *ec;
};

static enum err refuse(struct parser *p, enum err e, const char *what, struct span word)
{
    return err_set(p->ec, e, "line %zu: %s%s" SPAN_FMT "%s", p->line, what, word.len > 0 ? ": '" : "",
                   SPAN_ARG(span_first(word, 80)), word.len > 0 ? "'" : "");
}

/* 10s, 1500ms, 2m, 1h, 1d. */
static bool duration(struct span s, ms_t *ret)
{
    static const struct {
        struct span unit;
        uint64_t ms;
    } units[] = {{SPAN_INIT("ms"), 1},
                 {SPAN_INIT("s"), 1000},
                 {SPAN_INIT("m"), 60000},
                 {SPAN_INIT("h"), 3600000},
                 {SPAN_INIT("d"), 86400000}};
    size_t digits = 0;
    uint64_t n;
    while (digits < s.len && s.ptr[digits] >= '0' && s.ptr[digits] <= '9')
        digits++;
    for (size_t i = 0; i < ARRAY_LEN(units); i++) {
        if (!span_eq(span_from(s, digits), units[i].unit) ||
            !span_to_u64(span_first(s, digits), 1000000000, &n))
            continue;
        *ret = n * units[i].ms;
        return true;
    }
    return false;
}

static enum err group(struct parser *p, struct span word, uint32_t *ret)
{
    *ret = sim_find(p->s, word);
    return *ret != UINT32_MAX
               ? ERR_OK
               : refuse(p, ERR_NOTFOUND, "no group has the name (names count upper and lower case)", word);
}

/* The words behind the verb. */
static enum err arguments(struct parser *p, struct scenario_event *ev, const struct span *words, size_t n)
{
    uint64_t cost;
    enum err e = n > 0 ? group(p, words[0], &ev->a) : ERR_OK;
    if (e != ERR_OK || n < 2)
        return e;
    ev->b = sim_find(p->s, words[1]);
    bool linked = ev->b != UINT32_MAX && sim_linked(p->s, ev->a, ev->b);
    const struct conf_connector *c =
        linked || verbs[ev->kind].shape != LINK_OR_CONNECTOR ? NULL : sim_connector(p->s, ev->a, words[1]);
    if (c != NULL && connector_by_dns(c))
        return refuse(p, ERR_STATE, "a connector that finds its targets by DNS is never DOWN", words[1]);
    if (c != NULL) {
        ev->b = SCENARIO_NONE;
        memcpy(ev->connector, words[1].ptr, words[1].len);
        return ERR_OK;
    }
    if (!linked)
        return refuse(p, ERR_NOTFOUND, "no link and no connector of the first group leads to", words[1]);
    if (verbs[ev->kind].shape != LINK_AND_COST)
        return ERR_OK;
    if (!span_to_u64(words[2], RECORD_COST_MAX, &cost) || cost == 0)
        return refuse(p, ERR_PARSE, "a cost is a number from 1 to 100, not", words[2]);
    ev->cost = (uint8_t)cost;
    return ERR_OK;
}

static enum err add(struct parser *p, const struct scenario_event *ev)
{
    if (p->sc.n == SCENARIO_EVENTS_MAX)
        return refuse(p, ERR_TOOBIG, "more than 100000 events", SPAN(""));
    if (p->sc.n == p->cap) {
        size_t cap = p->cap == 0 ? 16 : p->cap * 2;
        struct scenario_event *list = realloc(p->sc.events, cap * sizeof *list);
        if (list == NULL)
            return refuse(p, ERR_NOMEM, err_text(ERR_NOMEM), SPAN(""));
        p->sc.events = list;
        p->cap = cap;
    }
    p->sc.events[p->sc.n++] = *ev;
    return ERR_OK;
}

static enum err when(struct parser *p, struct scenario_event *ev, struct span word)
{
    if (!duration(word, &ev->at_ms))
        return refuse(p, ERR_PARSE, "a time is 1500ms, 10s, 2m, 1h or 1d, not", word);
    if (ev->at_ms < p->last_ms)
        return refuse(p, ERR_PARSE, "this time is before that of a line above; sort them", word);
    p->last_ms = ev->at_ms;
    ev->timed = true;
    return ERR_OK;
}

static enum err statement(struct parser *p, const struct span *words, size_t n)
{
    struct scenario_event ev = {.a = SCENARIO_NONE, .b = SCENARIO_NONE};
    size_t at = 0, kind = 0;
    if (span_eq(words[0], SPAN("at"))) {
        enum err e = n < 3 ? refuse(p, ERR_PARSE, "write: at TIME EVENT", SPAN("")) : when(p, &ev, words[1]);
        if (e != ERR_OK)
            return e;
        at = 2;
    }
    while (kind < SCENARIO__COUNT && !span_eq(verbs[kind].name, words[at]))
        kind++;
    if (kind == SCENARIO__COUNT)
        return refuse(p, ERR_PARSE, "an event is down, up, cut, heal, crash, restart or cost, not",
                      words[at]);
    ev.kind = (enum scenario_kind)kind;
    n -= ++at;
    if (n < verbs[kind].min || n > verbs[kind].max)
        return err_set(p->ec, ERR_PARSE, "line %zu: write: %s %s", p->line, verbs[kind].name.ptr,
                       verbs[kind].usage);
    enum err e = arguments(p, &ev, words + at, n);
    return e == ERR_OK ? add(p, &ev) : e;
}

static bool blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static enum err read_line(struct parser *p, struct span line)
{
    struct span words[WORDS_MAX];
    size_t n = 0, comment;
    if (span_find(line, '#', &comment))
        line = span_first(line, comment);
    for (size_t i = 0; i < line.len;) {
        size_t begin = i;
        while (i < line.len && !blank(line.ptr[i]))
            i++;
        if (i > begin && n == WORDS_MAX)
            return refuse(p, ERR_PARSE, "too many words, from", span_of(line.ptr + begin, i - begin));
        if (i > begin)
            words[n++] = span_of(line.ptr + begin, i - begin);
        else
            i++;
    }
    return n > 0 ? statement(p, words, n) : ERR_OK;
}

enum err scenario_parse(struct span text, const struct sim *s, struct scenario *ret, struct errctx *ec)
{
    struct parser p = {.s = s, .ec = ec};
    enum err e = ERR_OK;
    if (text.len > SCENARIO_TEXT_MAX)
        return err_set(ec, ERR_TOOBIG, "more than %d MiB", SCENARIO_TEXT_MAX >> 20);
    while (e == ERR_OK && text.len > 0) {
        struct span line;
        (void)span_cut(text, '\n', &line, &text);
        p.line++;
        e = read_line(&p, line);
    }
    if (e == ERR_OK)
        *ret = p.sc;
    else
        scenario_done(&p.sc);
    return e;
}

void scenario_done(struct scenario *sc)
{
    free(sc->events);
    *sc = (struct scenario){0};
}

enum err scenario_subject(const struct sim *s, const struct scenario_event *ev, struct buf *out)
{
    if (ev->a == SCENARIO_NONE)
        return ERR_OK;
    enum err e = buf_addf(out, "%s", sim_group_name(s, ev->a));
    if (e == ERR_OK && ev->connector[0] != '\0')
        e = buf_addf(out, " %s", ev->connector);
    if (e == ERR_OK && ev->b != SCENARIO_NONE)
        e = buf_addf(out, " - %s", sim_group_name(s, ev->b));
    if (e == ERR_OK && ev->kind == SCENARIO_COST)
        e = buf_addf(out, " %u", ev->cost);
    return e;
}

/* --- chance
 * ------------------------------------------------------------------------------------------------- */

enum err scenario_random(const struct sim *s, struct rng *rng, struct scenario_event *ret)
{
    bool up;
    *ret = (struct scenario_event){0};
    if (!sim_link_at(s, (size_t)rng_below(rng, sim_links(s)), &ret->a, &ret->b, &up))
        return ERR_NOTFOUND;
    ret->kind = up ? SCENARIO_DOWN : SCENARIO_UP;
    return ERR_OK;
}

/* --- happening
 * ---------------------------------------------------------------------------------------------- */

static enum err line(struct sim *s, uint32_t a, uint32_t b, bool cut)
{
    enum err e = sim_cut(s, a, b, cut);
    return e == ERR_OK ? sim_link_state(s, a, b, !cut, true) : e;
}

/* All lines of a group, of all groups: those that are as they should be are left alone. */
static enum err lines(struct sim *s, uint32_t of, bool cut)
{
    enum err e = ERR_OK;
    uint32_t a, b;
    bool up;
    for (size_t n = 0; e == ERR_OK && sim_link_at(s, n, &a, &b, &up); n++)
        if ((of == SCENARIO_NONE || a == of || b == of) && sim_is_cut(s, a, b) != cut)
            e = line(s, a, b, cut);
    return e;
}

static enum err costs(struct sim *s, const struct scenario_event *ev)
{
    enum err there = sim_cost(s, ev->a, ev->b, ev->cost), back = sim_cost(s, ev->b, ev->a, ev->cost);
    /* A connector in one direction is enough. */
    return there == ERR_NOTFOUND ? back : back == ERR_NOTFOUND ? there : there != ERR_OK ? there : back;
}

static enum err happen(struct sim *s, const struct scenario_event *ev)
{
    switch (ev->kind) {
    case SCENARIO_DOWN:
    case SCENARIO_UP:
        if (ev->connector[0] != '\0')
            return sim_connector_state(s, ev->a, span_cstr(ev->connector), ev->kind == SCENARIO_UP);
        /* The adjacency lives on other connections than the mail does: it stays. */
        return sim_link_state(s, ev->a, ev->b, ev->kind == SCENARIO_UP, true);
    case SCENARIO_CUT:
    case SCENARIO_HEAL:
        if (ev->b != SCENARIO_NONE)
            return line(s, ev->a, ev->b, ev->kind == SCENARIO_CUT);
        return lines(s, ev->a, ev->kind == SCENARIO_CUT);
    case SCENARIO_CRASH:
        return sim_stop(s, ev->a);
    case SCENARIO_RESTART:
        return sim_restart(s, ev->a);
    case SCENARIO_COST:
        return costs(s, ev);
    case SCENARIO__COUNT:
        break;
    }
    return ERR_NOTFOUND;
}

enum err scenario_run(struct sim *s, const struct scenario_event *ev, ms_t start_ms, ms_t until_ms,
                      struct scenario_result *ret)
{
    ms_t due_ms = ms_after(start_ms, ev->at_ms), end_ms = ms_after(start_ms, until_ms);
    if (ev->timed && due_ms > sim_now(s))
        sim_run(s, due_ms - sim_now(s));
    *ret = (struct scenario_result){.at_ms = sim_now(s) - start_ms};
    sim_stats_reset(s);
    enum err e = happen(s, ev);
    if (e == ERR_OK)
        ret->converged = sim_converge(s, end_ms > sim_now(s) ? end_ms - sim_now(s) : 0, &ret->took_ms);
    sim_stats(s, &ret->stats);
    ret->full_flood_bytes = sim_full_flood_bytes(s);
    if (e == ERR_OK)
        e = sim_cut_off(s, &ret->cut_off);
    return e == ERR_OK && sim_failed(s) ? ERR_NOMEM : e;
}
