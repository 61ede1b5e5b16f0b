/* cli/routing_tree.c — `linkstate show`: the table of link state as a tree, as JSON, as a drawing. */
#include "cli/routing_view.h"
#include "cli/table.h"
#include "common/plural.h"
#include "linkstate/drawing.h"
#include "router/keys.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>

/* --- The tree: lines with a depth, then drawn from the end --------------------------------------------- */

enum { DEPTH_MAX = 4, LINE_MAX = 1024, HEX_LINE = 32 };
struct line {
    char *text;
    unsigned depth;
    bool last; /* of its parent */
};
struct tree {
    struct line *lines;
    size_t n, cap;
    enum err e; /* the first one; then nothing is added any more */
};

static void add(struct tree *t, unsigned depth, const char *fmt, ...) PRINTF(3, 4);
static void add(struct tree *t, unsigned depth, const char *fmt, ...)
{
    char text[LINE_MAX];
    va_list ap;
    if (t->n == t->cap && t->e == ERR_OK) {
        size_t cap = t->cap == 0 ? 256 : t->cap * 2;
        struct line *p = realloc(t->lines, cap * sizeof *p);
        if (p == NULL) {
            t->e = ERR_NOMEM;
            return;
        }
        t->lines = p;
        t->cap = cap;
    }
    if (t->e != ERR_OK)
        return;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    t->lines[t->n].depth = depth;
    t->lines[t->n].text = span_dup(span_cstr(text));
    t->e = t->lines[t->n].text == NULL ? ERR_NOMEM : ERR_OK;
    t->n += t->e == ERR_OK;
}

static void find_last(struct tree *t)
{
    bool more[DEPTH_MAX + 1] = {false}; /* a line of this depth follows, under the same parent */
    for (size_t i = t->n; i > 0; i--) {
        struct line *l = &t->lines[i - 1];
        l->last = !more[l->depth];
        more[l->depth] = true;
        for (unsigned d = l->depth + 1; d <= DEPTH_MAX; d++)
            more[d] = false;
    }
}

static enum err print_tree(struct tree *t, struct buf *out)
{
    bool last[DEPTH_MAX + 1] = {false};
    enum err e = t->e;
    find_last(t);
    for (size_t i = 0; e == ERR_OK && i < t->n; i++) {
        const struct line *l = &t->lines[i];
        last[l->depth] = l->last;
        for (unsigned d = 1; e == ERR_OK && d < l->depth; d++)
            e = buf_addf(out, "%s", last[d] ? "    " : "|   ");
        if (e == ERR_OK)
            e = buf_addf(out, "%s%s\n", l->depth == 0 ? "" : l->last ? "`-- " : "|-- ", l->text);
    }
    for (size_t i = 0; i < t->n; i++)
        free(t->lines[i].text);
    free(t->lines);
    return e;
}

static void add_restrictions(const struct record_connector *c, char *out, size_t size)
{
    char bytes[24];
    int n = 0;
    out[0] = '\0';
    bytes_text(c->max_size, bytes);
    if (c->scope == RECORD_SCOPE_GROUP)
        n += snprintf(out + n, size - (size_t)n, ", for this group alone");
    if (c->max_size > 0)
        n += snprintf(out + n, size - (size_t)n, ", at most %s", bytes);
    if (c->priorities != RECORD_PRIORITY_ALL)
        n += snprintf(out + n, size - (size_t)n, ", priority%s%s%s only",
                      c->priorities & RECORD_PRIORITY_LOW ? " low" : "",
                      c->priorities & RECORD_PRIORITY_NORMAL ? " normal" : "",
                      c->priorities & RECORD_PRIORITY_HIGH ? " high" : "");
    if (c->content != RECORD_CONTENT_ALL)
        n += snprintf(out + n, size - (size_t)n, ", %s",
                      c->content == RECORD_CONTENT_SYSTEM ? "reports only" : "no reports");
    if (c->naccept > 0)
        n += snprintf(out + n, size - (size_t)n, ", from %zu sender%s only", c->naccept, plural(c->naccept));
    if (c->nreject > 0)
        n += snprintf(out + n, size - (size_t)n, ", not from %zu sender%s", c->nreject, plural(c->nreject));
    if (c->weight > 1)
        n += snprintf(out + n, size - (size_t)n, ", weight %u", c->weight);
    if (c->relay_open)
        (void)snprintf(out + n, size - (size_t)n, ", anybody may relay");
}

static bool is_local(const struct record_connector *c)
{
    return span_eq(c->name, SPAN(RECORD_LOCAL_CONNECTOR));
}

static void add_connector(struct tree *t, const struct record_connector *c)
{
    char more[256];
    if (is_local(c)) {
        for (size_t i = 0; i < c->nspaces; i++)
            add(t, 2, "delivers " SPAN_FMT, SPAN_ARG(c->spaces[i].space));
        return;
    }
    add_restrictions(c, more, sizeof more);
    if (c->type == RECORD_ROUTING_GROUP)
        add(t, 2, "connector " SPAN_FMT ": to group " SPAN_FMT ", cost %u, %s%s", SPAN_ARG(c->name),
            SPAN_ARG(c->to_group), c->cost, c->up ? "UP" : "DOWN", more);
    else
        add(t, 2, "connector " SPAN_FMT ": smtp%s, %s%s", SPAN_ARG(c->name), c->dns ? " by DNS" : "",
            c->up ? "UP" : "DOWN", more);
    for (size_t i = 0; i < c->nspaces; i++)
        add(t, 3, SPAN_FMT " cost %u", SPAN_ARG(c->spaces[i].space), c->spaces[i].cost);
    for (size_t i = 0; i < c->nsources; i++)
        add(t, 3, "source " SPAN_FMT "%s", SPAN_ARG(c->sources[i].name),
            c->sources[i].up ? "" : " not alive");
    for (size_t i = 0; i < c->ntargets; i++)
        add(t, 3, "target " SPAN_FMT "%s", SPAN_ARG(c->targets[i].name), c->targets[i].up ? "" : " DOWN");
}

static void add_hex(struct tree *t, const char *what, struct span bytes)
{
    for (size_t at = 0; at < bytes.len; at += HEX_LINE) {
        char hex[2 * HEX_LINE + 1] = "";
        for (size_t i = 0; i < HEX_LINE && at + i < bytes.len; i++)
            (void)snprintf(hex + 2 * i, 3, "%02x", (unsigned char)bytes.ptr[at + i]);
        add(t, 2, "%s %04zx %s", what, at, hex);
    }
}

static void add_group(struct tree *t, const struct view_group *g, bool raw)
{
    static const char *const signatures[] = {[VIEW_UNCHECKED] =
                                                 "signature not checked: no organization_key is configured",
                                             [VIEW_SIGNED] = "signed",
                                             [VIEW_FORGED] = "NOT SIGNED BY THE ORGANIZATION'S KEYS"};
    const struct lsa *l = &g->entry.lsa;
    char version[48], age[24], print[KEY_PRINT_LEN + 1];
    view_version(&l->version, version);
    age_text(g->age_ms, age);
    key_print(l->cert.key, print);
    add(t, 1, SPAN_FMT ": version %s, refresh %" PRIu64 ", %s ago, %s%s" SPAN_FMT, SPAN_ARG(l->group),
        version, l->version.seq, age, signatures[g->how], g->parsed ? ", master " : ", its record is damaged",
        SPAN_ARG(g->parsed ? g->record.master : SPAN("")));
    if (raw) {
        add(t, 2, "key %s, certificate %" PRIu64, print, l->cert.serial);
        add_hex(t, "header", l->header);
        add_hex(t, "body  ", g->entry.body);
        return;
    }
    for (size_t i = 0; i < g->record.nmembers; i++)
        add(t, 2, "member " SPAN_FMT "%s", SPAN_ARG(g->record.members[i].name),
            g->record.members[i].connected ? "" : ", not connected");
    for (size_t i = 0; i < g->record.nconnectors; i++)
        add_connector(t, &g->record.connectors[i]);
}

static enum err add_view(const struct view *v, const struct conf_root *root, bool raw, struct buf *out)
{
    struct tree t = {.e = ERR_OK};
    char age[24];
    age_text(v->now_ms > v->published_ms ? v->now_ms - v->published_ms : 0, age);
    struct span by = view_router_name(span_cstr(v->master));
    add(&t, 0,
        "%s: table %" PRIu64 ", published %s ago by " SPAN_FMT ", %zu group%s, digest %016" PRIx64
        "%016" PRIx64,
        root->organization, v->version, age, SPAN_ARG(by), v->ngroups, plural(v->ngroups), v->sum.hi,
        v->sum.lo);
    for (size_t i = 0; i < v->ngroups; i++)
        add_group(&t, &v->groups[i], raw);
    return print_tree(&t, out);
}

/* --- JSON ----------------------------------------------------------------------------------------------- */

static json_t *text(struct span s)
{
    return json_stringn(s.len > 0 ? s.ptr : "", s.len);
}

static json_t *texts(const struct span *list, size_t n)
{
    json_t *a = json_array();
    for (size_t i = 0; i < n; i++)
        (void)json_array_append_new(a, text(list[i]));
    return a;
}

static json_t *hosts(const struct record_host *list, size_t n)
{
    json_t *a = json_array();
    for (size_t i = 0; i < n; i++)
        (void)json_array_append_new(
            a, json_pack("{s:o, s:b}", "name", text(list[i].name), "up", (int)list[i].up));
    return a;
}

static json_t *priorities(uint8_t bits)
{
    json_t *a = json_array();
    if (bits & RECORD_PRIORITY_LOW)
        (void)json_array_append_new(a, json_string("low"));
    if (bits & RECORD_PRIORITY_NORMAL)
        (void)json_array_append_new(a, json_string("normal"));
    if (bits & RECORD_PRIORITY_HIGH)
        (void)json_array_append_new(a, json_string("high"));
    return a;
}

static json_t *connector(const struct record_connector *c)
{
    static const char *const contents[] = {[RECORD_CONTENT_ALL] = "all",
                                           [RECORD_CONTENT_SYSTEM] = "system",
                                           [RECORD_CONTENT_NON_SYSTEM] = "non_system"};
    json_t *spaces = json_array();
    for (size_t i = 0; i < c->nspaces; i++)
        (void)json_array_append_new(spaces, json_pack("{s:o, s:i}", "space", text(c->spaces[i].space), "cost",
                                                      (int)c->spaces[i].cost));
    json_t *j = json_pack("{s:o, s:s, s:b, s:i, s:b, s:s, s:b, s:I, s:s}", "name", text(c->name), "type",
                          c->type == RECORD_ROUTING_GROUP ? "routing_group" : "smtp", "up", (int)c->up,
                          "weight", (int)c->weight, "dns", (int)c->dns, "scope",
                          c->scope == RECORD_SCOPE_GROUP ? "group" : "organization", "allow_relay",
                          (int)c->relay_open, "max_message_size", (json_int_t)c->max_size, "content",
                          contents[c->content]);
    if (c->type == RECORD_ROUTING_GROUP) {
        (void)json_object_set_new(j, "to_group", text(c->to_group));
        (void)json_object_set_new(j, "cost", json_integer(c->cost));
    }
    (void)json_object_set_new(j, "address_spaces", spaces);
    (void)json_object_set_new(j, "sources", hosts(c->sources, c->nsources));
    (void)json_object_set_new(j, "targets", hosts(c->targets, c->ntargets));
    (void)json_object_set_new(j, "priorities", priorities(c->priorities));
    (void)json_object_set_new(j, "accept_from", texts(c->accept_from, c->naccept));
    (void)json_object_set_new(j, "reject_from", texts(c->reject_from, c->nreject));
    return j;
}

static json_t *hex(struct span bytes)
{
    struct buf b;
    buf_init(&b, 2 * (size_t)RECORD_MAX + 1);
    for (size_t i = 0; i < bytes.len; i++)
        (void)!buf_addf(&b, "%02x", (unsigned char)bytes.ptr[i]);
    json_t *j = json_stringn(buf_cstr(&b), b.len);
    buf_done(&b);
    return j;
}

static json_t *group(const struct view_group *g, bool raw)
{
    const struct lsa *l = &g->entry.lsa;
    char version[48], key[KEY_TEXT_LEN + 1];
    view_version(&l->version, version);
    key_text(l->cert.key, key);
    json_t *j = json_pack("{s:o, s:s, s:I, s:I, s:s, s:I}", "group", text(l->group), "version", version,
                          "sequence", (json_int_t)l->version.seq, "age_ms", (json_int_t)g->age_ms, "key", key,
                          "serial", (json_int_t)l->cert.serial);
    (void)json_object_set_new(j, "signed",
                              g->how == VIEW_UNCHECKED ? json_null() : json_boolean(g->how == VIEW_SIGNED));
    if (raw) {
        (void)json_object_set_new(j, "header", hex(l->header));
        (void)json_object_set_new(j, "body", hex(g->entry.body));
    }
    if (!g->parsed)
        return j;
    json_t *members = json_array(), *connectors = json_array(), *local = json_array();
    for (size_t i = 0; i < g->record.nmembers; i++)
        (void)json_array_append_new(members, json_pack("{s:o, s:b}", "name", text(g->record.members[i].name),
                                                       "connected", (int)g->record.members[i].connected));
    for (size_t i = 0; i < g->record.nconnectors; i++) {
        const struct record_connector *c = &g->record.connectors[i];
        for (size_t k = 0; is_local(c) && k < c->nspaces; k++)
            (void)json_array_append_new(local, text(c->spaces[k].space));
        if (!is_local(c))
            (void)json_array_append_new(connectors, connector(c));
    }
    (void)json_object_set_new(j, "master", text(g->record.master));
    (void)json_object_set_new(j, "members", members);
    (void)json_object_set_new(j, "connectors", connectors);
    (void)json_object_set_new(j, "local_domains", local);
    return j;
}

static int print_json(const struct view *v, const struct conf_root *root, bool raw)
{
    char published[32], digest[40];
    json_t *groups = json_array();
    clock_rfc3339(v->published_ms, published);
    (void)snprintf(digest, sizeof digest, "%016" PRIx64 "%016" PRIx64, v->sum.hi, v->sum.lo);
    for (size_t i = 0; i < v->ngroups; i++)
        (void)json_array_append_new(groups, group(&v->groups[i], raw));
    return json_print(json_pack("{s:s, s:I, s:s, s:s, s:I, s:s, s:o}", "organization", root->organization,
                                "version", (json_int_t)v->version, "published", published, "by", v->master,
                                "generation", (json_int_t)v->generation, "digest", digest, "groups", groups));
}

/* --- All of it --------------------------------------------------------------------------------------------
 */

static enum err draw(const struct view *v, const struct conf_root *root, bool svg, struct buf *out)
{
    struct drawing *d = drawing_new(span_cstr(root->organization), span_cstr(root->routing_group.name));
    enum err e = d == NULL ? ERR_NOMEM : ERR_OK;
    for (size_t i = 0; e == ERR_OK && i < v->ngroups; i++)
        if (v->groups[i].parsed)
            e = drawing_record(d, v->groups[i].entry.lsa.group, &v->groups[i].record);
    if (e == ERR_OK)
        e = svg ? drawing_svg(d, out) : drawing_dot(d, out);
    drawing_free(d);
    return e;
}

int view_print(const struct view *v, const struct conf_root *root, enum cli_output how, bool raw)
{
    struct buf out;
    enum err e = ERR_OK;
    if (how == CLI_JSON)
        return print_json(v, root, raw);
    buf_init(&out, DRAWING_MAX);
    e = how == CLI_TABLE ? add_view(v, root, raw, &out) : draw(v, root, how == CLI_SVG, &out);
    int code = e == ERR_OK ? cli_print(&out) : CLI_FAILED;
    buf_done(&out);
    if (e == ERR_TOOBIG)
        (void)fprintf(stderr, "bridgehead: an SVG shows %d groups at most; -o dot has no such limit\n",
                      DRAWING_SVG_GROUPS_MAX);
    else if (e != ERR_OK)
        (void)fprintf(stderr, "bridgehead: %s\n", err_text(e));
    return code;
}
