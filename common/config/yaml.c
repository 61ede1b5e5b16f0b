#include "common/config/yaml.h"

#include <string.h>
#include <yaml.h>

struct anchor {
    const char *name;
    struct yaml_node *node;
};
struct builder {
    yaml_parser_t parser;
    struct span text;
    struct arena *mem;
    struct yaml_node *root;
    struct yaml_node *open[YAML_DEPTH_MAX]; /* containers not yet ended */
    size_t depth, nodes;
    struct anchor anchors[YAML_ANCHORS_MAX];
    size_t nanchors;
    unsigned line;
    struct errctx *ec;
};

bool yaml_is_null(const struct yaml_node *n)
{
    return n->kind == YAML_SCALAR && n->plain &&
           (n->text.len == 0 || span_eq(n->text, SPAN("~")) || span_eq(n->text, SPAN("null")));
}

/* The capacity is the power of two at or above the count: it need not be kept. */
enum err yaml_append(struct arena *mem, struct yaml_node *parent, struct yaml_node *item)
{
    if ((parent->count & (parent->count - 1)) == 0) {
        size_t capacity = parent->count == 0 ? 1 : parent->count * 2;
        struct yaml_node **items = arena_alloc(mem, capacity * sizeof(void *));
        if (items == NULL)
            return ERR_NOMEM;
        if (parent->count > 0)
            memcpy(items, parent->items, parent->count * sizeof(void *));
        parent->items = items;
    }
    parent->items[parent->count++] = item;
    return ERR_OK;
}

static enum err attach(struct builder *b, struct yaml_node *n)
{
    if (b->depth == 0) {
        b->root = n;
        return ERR_OK;
    }
    struct yaml_node *parent = b->open[b->depth - 1];
    if (parent->kind == YAML_MAPPING && parent->count % 2 == 0 && n->kind != YAML_SCALAR)
        return err_set(b->ec, ERR_PARSE, "a key must be a plain word; write 'key: value'");
    return yaml_append(b->mem, parent, n);
}

static enum err remember(struct builder *b, const yaml_char_t *anchor, struct yaml_node *n)
{
    if (anchor == NULL)
        return ERR_OK;
    if (b->nanchors == YAML_ANCHORS_MAX)
        return err_set(b->ec, ERR_TOOBIG, "more than %d anchors; write the values out", YAML_ANCHORS_MAX);
    char *name = arena_dup(b->mem, span_cstr((const char *)anchor));
    if (name == NULL)
        return ERR_NOMEM;
    b->anchors[b->nanchors++] = (struct anchor){name, n};
    return ERR_OK;
}

static enum err add_node(struct builder *b, enum yaml_kind kind, const yaml_char_t *anchor,
                         const yaml_char_t *tag, struct yaml_node **ret)
{
    if (tag != NULL)
        return err_set(b->ec, ERR_PARSE, "tag '%s' is not supported; write the plain value",
                       (const char *)tag);
    if (++b->nodes > YAML_NODES_MAX)
        return err_set(b->ec, ERR_TOOBIG, "more than %d values; leave out what is not needed",
                       YAML_NODES_MAX);
    struct yaml_node *n = arena_alloc(b->mem, sizeof *n);
    if (n == NULL)
        return ERR_NOMEM;
    n->kind = kind;
    n->line = b->line;
    n->text = SPAN("");
    enum err e = remember(b, anchor, n);
    if (e == ERR_OK)
        e = attach(b, n);
    if (e == ERR_OK)
        *ret = n;
    return e;
}

static enum err add_scalar(struct builder *b, const yaml_event_t *ev)
{
    struct yaml_node *n = NULL;
    enum err e = add_node(b, YAML_SCALAR, ev->data.scalar.anchor, ev->data.scalar.tag, &n);
    if (e != ERR_OK || n == NULL)
        return e;
    struct span text = span_of((const char *)ev->data.scalar.value, ev->data.scalar.length);
    char *copy = arena_dup(b->mem, text);
    if (copy == NULL)
        return ERR_NOMEM;
    n->text = span_of(copy, text.len);
    n->plain = ev->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    return ERR_OK;
}

static enum err open_container(struct builder *b, enum yaml_kind kind, const yaml_char_t *anchor,
                               const yaml_char_t *tag)
{
    struct yaml_node *n = NULL;
    if (b->depth == YAML_DEPTH_MAX)
        return err_set(b->ec, ERR_TOOBIG, "nested deeper than %d levels; no setting is: close a bracket",
                       YAML_DEPTH_MAX);
    enum err e = add_node(b, kind, anchor, tag, &n);
    if (e == ERR_OK)
        b->open[b->depth++] = n;
    return e;
}

/* An alias to a container that is still open would make the tree a loop. */
static enum err add_alias(struct builder *b, const char *name)
{
    struct yaml_node *n = NULL;
    for (size_t i = b->nanchors; i > 0 && n == NULL; i--)
        if (strcmp(b->anchors[i - 1].name, name) == 0)
            n = b->anchors[i - 1].node;
    if (n == NULL)
        return err_set(b->ec, ERR_PARSE, "no anchor '&%s' before this alias; write the value out", name);
    for (size_t i = 0; i < b->depth; i++)
        if (b->open[i] == n)
            return err_set(b->ec, ERR_PARSE, "alias '*%s' stands inside its own anchor; write the value out",
                           name);
    return attach(b, n);
}

/* ret_end: the document is complete. */
static enum err take_event(struct builder *b, const yaml_event_t *ev, bool *ret_end)
{
    b->line = (unsigned)ev->start_mark.line + 1;
    switch (ev->type) {
    case YAML_SCALAR_EVENT:
        return add_scalar(b, ev);
    case YAML_SEQUENCE_START_EVENT:
        return open_container(b, YAML_SEQUENCE, ev->data.sequence_start.anchor, ev->data.sequence_start.tag);
    case YAML_MAPPING_START_EVENT:
        return open_container(b, YAML_MAPPING, ev->data.mapping_start.anchor, ev->data.mapping_start.tag);
    case YAML_ALIAS_EVENT:
        return add_alias(b, (const char *)ev->data.alias.anchor);
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        b->depth--;
        return ERR_OK;
    case YAML_DOCUMENT_START_EVENT:
        if (b->root != NULL)
            return err_set(b->ec, ERR_PARSE, "a second document; one file holds one configuration");
        return ERR_OK;
    case YAML_STREAM_END_EVENT:
        *ret_end = true;
        return ERR_OK;
    case YAML_NO_EVENT:
    case YAML_STREAM_START_EVENT:
    case YAML_DOCUMENT_END_EVENT:
        return ERR_OK;
    }
    return ERR_OK;
}

/* What the library says, and what people do about it; the first that fits. */
static const char *advice_for(const char *problem, bool reader, bool tab)
{
    static const struct {
        const char *problem, *advice;
    } known[] = {
        {"control characters", "remove the character"},
        {"mapping values are not allowed",
         "indent like the lines around it, and quote a value that holds ': '"},
        {"cannot start any token", "quote a value that begins with one of @ ` %"},
        {"could not find expected ':'", "write 'key: value'"},
        {"did not find expected key", "indent it like the keys around it"},
        {"did not find expected '-' indicator", "indent it like the items around it"},
        {"did not find expected ','", "close the bracket that was opened before, or put a comma"},
        {"unexpected end of stream", "close the quote or the bracket that was opened before"},
        {"directive", "leave the line out"},
        {"incompatible YAML document", "leave the line out"},
    };
    if (tab)
        return "this is a tab: indent with blanks";
    for (size_t i = 0; i < ARRAY_LEN(known); i++)
        if (strstr(problem, known[i].problem) != NULL)
            return known[i].advice;
    return reader ? "save the file as UTF-8" : "look at its quotes, brackets and indentation";
}

static unsigned line_at(struct span text, size_t offset)
{
    unsigned line = 1;
    for (size_t i = 0; i < offset && i < text.len; i++)
        line += text.ptr[i] == '\n';
    return line;
}

/* Columns count characters; a tab that matters has only blanks before it. */
static bool is_tab(struct span text, const yaml_mark_t *at)
{
    struct span line = SPAN("");
    for (size_t i = 0; i <= at->line && text.len > 0; i++)
        (void)span_cut(text, '\n', &line, &text);
    return at->column < line.len && line.ptr[at->column] == '\t';
}

static enum err syntax_error(struct builder *b)
{
    const yaml_parser_t *p = &b->parser;
    if (p->error == YAML_MEMORY_ERROR)
        return ERR_NOMEM;
    bool reader = p->error == YAML_READER_ERROR; /* knows bytes, not lines */
    const char *problem = p->problem == NULL ? "malformed" : p->problem;
    b->line = reader ? line_at(b->text, p->problem_offset) : (unsigned)p->problem_mark.line + 1;
    if (reader)
        return err_set(b->ec, ERR_PARSE, "%s at byte %zu; %s", problem, p->problem_offset,
                       advice_for(problem, true, false));
    char context[96] = "";
    if (p->context != NULL && p->context_mark.line + 1 < b->line)
        (void)snprintf(context, sizeof context, " %s of line %zu", p->context, p->context_mark.line + 1);
    else if (p->context != NULL)
        (void)snprintf(context, sizeof context, " %s", p->context);
    return err_set(b->ec, ERR_PARSE, "%s%s; %s", problem, context,
                   advice_for(problem, false, is_tab(b->text, &p->problem_mark)));
}

static enum err build(struct builder *b)
{
    bool end = false;
    enum err e = ERR_OK;
    while (e == ERR_OK && !end) {
        yaml_event_t ev;
        if (yaml_parser_parse(&b->parser, &ev) == 0)
            return syntax_error(b);
        e = take_event(b, &ev, &end);
        yaml_event_delete(&ev);
    }
    return e;
}

enum err yaml_parse(struct span text, struct arena *mem, struct yaml_node **ret, unsigned *ret_line,
                    struct errctx *ec)
{
    *ret_line = 0;
    if (text.len > YAML_BYTES_MAX)
        return err_set(ec, ERR_TOOBIG, "larger than %d bytes; leave out what is not needed", YAML_BYTES_MAX);
    struct builder b = {.text = text, .mem = mem, .ec = ec};
    if (yaml_parser_initialize(&b.parser) == 0)
        return ERR_NOMEM;
    yaml_parser_set_input_string(&b.parser, (const unsigned char *)text.ptr, text.len);
    enum err e = build(&b);
    yaml_parser_delete(&b.parser);
    *ret_line = b.line;
    if (e == ERR_NOMEM)
        return err_set(ec, e, "out of memory");
    if (e == ERR_OK)
        *ret = b.root;
    return e;
}
