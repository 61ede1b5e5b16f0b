#include "linkstate/graphml.h"

#include "linkstate/graphml_int.h"

#include <expat.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { KEYS_MAX = 256, DEPTH_MAX = 32, CHUNK = 1 << 20 };

struct key {
    char id[GRAPHML_TEXT_MAX + 1];
    bool of_edge;
    int field; /* G_* of nodes or edges */
    bool has_default;
    double normal;
};
enum state { OUTSIDE, IN_GRAPHML, IN_GRAPH, IN_NODE, IN_EDGE, IN_KEY };
struct reader {
    XML_Parser xml;
    enum state state;
    unsigned depth, foreign; /* foreign: depth of the element that is skipped with all in it; 0: none */
    bool had_graph, directed;
    struct key keys[KEYS_MAX];
    size_t nkeys;
    struct graphml_raw *raw;
    const struct key *data; /* whose text is being read */
    bool of_default;        /* it is the key's default */
    char text[GRAPHML_TEXT_MAX + 1];
    size_t ntext;
    enum err e;
    struct errctx *ec;
};

/* expat 2.9 (Debian 13) has another name for it, which 2.5 (Debian 12) does not know. */
static unsigned long line_of(const struct reader *r)
{
#if XML_MAJOR_VERSION > 2 || XML_MINOR_VERSION >= 9
    return XML_GetCurrentLineNumber64(r->xml);
#else
    return XML_GetCurrentLineNumber(r->xml);
#endif
}

static void fail(struct reader *r, enum err e, const char *what, const char *name)
{
    if (r->e != ERR_OK)
        return;
    r->e = err_set(r->ec, e, "line %lu: %s%s%s", line_of(r), what, name != NULL ? ": " : "",
                   name != NULL ? name : "");
    (void)XML_StopParser(r->xml, XML_FALSE);
}

/* The name without a namespace's prefix. */
static const char *local(const char *name)
{
    const char *colon = strrchr(name, ':');
    return colon != NULL ? colon + 1 : name;
}

static const char *attribute(const char **atts, const char *name)
{
    for (size_t i = 0; atts[i] != NULL; i += 2)
        if (strcmp(local(atts[i]), name) == 0)
            return atts[i + 1];
    return NULL;
}

/* An attribute that must be there and not too long; NULL: it was complained of. */
static const char *required(struct reader *r, const char *element, const char **atts, const char *name)
{
    const char *value = attribute(atts, name);
    char what[64];
    (void)snprintf(what, sizeof what, "<%s> without %s", element, name);
    if (value == NULL || value[0] == '\0')
        fail(r, ERR_PARSE, what, NULL);
    else if (strlen(value) > GRAPHML_TEXT_MAX)
        fail(r, ERR_TOOBIG, name, "longer than 255 bytes");
    else
        return value;
    return NULL;
}

static void begin_key(struct reader *r, const char **atts)
{
    const char *id = required(r, "key", atts, "id"), *of = attribute(atts, "for"),
               *name = attribute(atts, "attr.name");
    if (id == NULL)
        return;
    if (r->nkeys == KEYS_MAX) {
        fail(r, ERR_TOOBIG, "more than 256 keys", NULL);
        return;
    }
    bool of_edge = of != NULL && strcmp(of, "edge") == 0;
    struct key *k = &r->keys[r->nkeys++];
    *k = (struct key){.of_edge = of_edge, .field = -1};
    (void)snprintf(k->id, sizeof k->id, "%s", id);
    if (name != NULL && of != NULL && (of_edge || strcmp(of, "node") == 0))
        k->field = graphml_field(of_edge, name);
    r->state = IN_KEY;
}

static void begin_graph(struct reader *r, const char **atts)
{
    const char *normal = attribute(atts, "edgedefault");
    if (r->had_graph)
        fail(r, ERR_PARSE, "a second graph; take it into a file of its own", NULL);
    r->had_graph = true;
    r->directed = normal != NULL && strcmp(normal, "directed") == 0;
    r->state = IN_GRAPH;
}

static void begin_node(struct reader *r, const char **atts)
{
    const char *id = required(r, "node", atts, "id");
    enum err e = id == NULL ? ERR_OK : graphml_add_node(r->raw, id, line_of(r));
    if (e == ERR_TOOBIG)
        fail(r, e, "more nodes than an organization has groups (10000)", NULL);
    else if (e != ERR_OK)
        fail(r, e, err_text(e), NULL);
    r->state = IN_NODE;
}

static void begin_edge(struct reader *r, const char **atts)
{
    const char *from = required(r, "edge", atts, "source"), *to = NULL,
               *directed = attribute(atts, "directed");
    if (from != NULL)
        to = required(r, "edge", atts, "target");
    if (to == NULL)
        return;
    bool one_way =
        directed != NULL ? strcmp(directed, "true") == 0 || strcmp(directed, "1") == 0 : r->directed;
    enum err e = graphml_add_edge(r->raw, from, to, one_way, line_of(r));
    for (size_t i = 0; e == ERR_OK && i < r->nkeys; i++)
        if (r->keys[i].of_edge && r->keys[i].has_default)
            graphml_set_number(r->raw, r->keys[i].field, r->keys[i].normal);
    if (e == ERR_TOOBIG)
        fail(r, e, "more than 100000 edges", NULL);
    else if (e != ERR_OK)
        fail(r, e, err_text(e), NULL);
    r->state = IN_EDGE;
}

static void begin_data(struct reader *r, const char **atts)
{
    const char *id = required(r, "data", atts, "key");
    for (size_t i = 0; id != NULL && i < r->nkeys; i++)
        if (r->keys[i].field >= 0 && r->keys[i].of_edge == (r->state == IN_EDGE) &&
            strcmp(r->keys[i].id, id) == 0)
            r->data = &r->keys[i];
    r->of_default = false;
    r->ntext = 0;
}

/* What may stand where. Anything else is left out, with all that it holds. */
static const struct {
    const char *name;
    enum state in;
    void (*begin)(struct reader *r, const char **atts);
} elements[] = {
    {"key", IN_GRAPHML, begin_key}, {"graph", IN_GRAPHML, begin_graph}, {"node", IN_GRAPH, begin_node},
    {"edge", IN_GRAPH, begin_edge}, {"data", IN_NODE, begin_data},      {"data", IN_EDGE, begin_data},
};

static void begin(struct reader *r, const char *name, const char **atts)
{
    if (r->state == OUTSIDE) {
        if (strcmp(name, "graphml") != 0)
            fail(r, ERR_PARSE, "this is no GraphML; the outermost element is", name);
        r->state = IN_GRAPHML;
        return;
    }
    if (strcmp(name, "hyperedge") == 0) {
        fail(r, ERR_PARSE, "a hyperedge; write it as edges between two nodes each", NULL);
        return;
    }
    if (strcmp(name, "graph") == 0 && r->state != IN_GRAPHML) {
        fail(r, ERR_PARSE, "a graph within a graph; write its nodes into the outer one", NULL);
        return;
    }
    if (r->state == IN_KEY && strcmp(name, "default") == 0) {
        r->data = &r->keys[r->nkeys - 1];
        r->of_default = true;
        r->ntext = 0;
        return;
    }
    for (size_t i = 0; i < ARRAY_LEN(elements); i++) {
        if (elements[i].in == r->state && strcmp(name, elements[i].name) == 0) {
            elements[i].begin(r, atts);
            return;
        }
    }
    r->foreign = r->depth;
}

static void on_begin(void *arg, const XML_Char *name, const XML_Char **atts)
{
    struct reader *r = arg;
    if (r->e != ERR_OK)
        return;
    if (++r->depth > DEPTH_MAX)
        fail(r, ERR_TOOBIG, "elements nested more than 32 deep", NULL);
    else if (r->foreign == 0 && r->data != NULL)
        r->foreign = r->depth; /* markup within the text */
    else if (r->foreign == 0)
        begin(r, local(name), (const char **)atts);
}

static void end_data(struct reader *r)
{
    struct span text = span_trim(span_of(r->text, r->ntext));
    const struct key *k = r->data;
    double number;
    r->data = NULL;
    if (!k->of_edge) {
        if (!r->of_default && graphml_set_label(r->raw, k->field, text) != ERR_OK)
            fail(r, ERR_NOMEM, err_text(ERR_NOMEM), NULL);
        return;
    }
    if (!graphml_number(k->field, text, &number)) {
        char value[32];
        (void)snprintf(value, sizeof value, SPAN_FMT, SPAN_ARG(span_first(text, sizeof value - 1)));
        fail(r, ERR_PARSE, "a cost or speed that is no number of at least 0", value);
    } else if (r->of_default) {
        r->keys[r->nkeys - 1].has_default = true;
        r->keys[r->nkeys - 1].normal = number;
    } else {
        graphml_set_number(r->raw, k->field, number);
    }
}

static void on_end(void *arg, const XML_Char *name)
{
    static const struct {
        const char *name;
        enum state in, back_to;
    } ends[] = {{"key", IN_KEY, IN_GRAPHML},
                {"graph", IN_GRAPH, IN_GRAPHML},
                {"node", IN_NODE, IN_GRAPH},
                {"edge", IN_EDGE, IN_GRAPH}};
    struct reader *r = arg;
    if (r->e != ERR_OK)
        return;
    if (r->foreign == r->depth--) {
        r->foreign = 0;
        return;
    }
    if (r->foreign != 0)
        return;
    if (r->data != NULL && r->data->field >= 0) {
        end_data(r);
        return;
    }
    r->data = NULL;
    for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
        if (ends[i].in == r->state && strcmp(local(name), ends[i].name) == 0) {
            r->state = ends[i].back_to;
            return;
        }
    }
}

static void on_text(void *arg, const XML_Char *text, int len)
{
    struct reader *r = arg;
    if (r->e != ERR_OK || r->data == NULL || r->foreign != 0 || r->data->field < 0)
        return;
    if (r->ntext + (size_t)len > GRAPHML_TEXT_MAX) {
        fail(r, ERR_TOOBIG, "a label or number longer than 255 bytes", NULL);
        return;
    }
    memcpy(r->text + r->ntext, text, (size_t)len);
    r->ntext += (size_t)len;
}

/* Entities make much of little, and no topology needs them. */
static void on_entity(void *arg, const XML_Char *name, int parameter, const XML_Char *value, int len,
                      const XML_Char *base, const XML_Char *system, const XML_Char *public,
                      const XML_Char *notation)
{
    (void)parameter, (void)value, (void)len, (void)base, (void)system, (void)public, (void)notation;
    fail(arg, ERR_PARSE, "entity declarations are refused; write the text itself", name);
}

static enum err feed(struct reader *r, struct span bytes)
{
    for (bool last = false; !last && r->e == ERR_OK;) {
        struct span piece = span_first(bytes, CHUNK);
        bytes = span_from(bytes, piece.len);
        last = bytes.len == 0;
        if (XML_Parse(r->xml, piece.ptr, (int)piece.len, last) != XML_STATUS_OK && r->e == ERR_OK) {
            enum XML_Error why = XML_GetErrorCode(r->xml);
            fail(r, why == XML_ERROR_NO_MEMORY ? ERR_NOMEM : ERR_PARSE, XML_ErrorString(why), NULL);
        }
    }
    if (r->e == ERR_OK && !r->had_graph)
        r->e = err_set(r->ec, ERR_PARSE, "there is no <graph> in it");
    return r->e;
}

enum err graphml_parse(struct span bytes, struct graphml *ret, struct errctx *ec)
{
    struct graphml_raw raw;
    if (bytes.len > GRAPHML_MAX)
        return err_set(ec, ERR_TOOBIG, "more than %d MiB", GRAPHML_MAX >> 20);
    graphml_raw_init(&raw);
    struct reader *r = calloc(1, sizeof *r);
    XML_Parser xml = r == NULL ? NULL : XML_ParserCreate(NULL);
    enum err e = ERR_NOMEM;
    if (xml == NULL) {
        (void)err_set(ec, e, "%s", err_text(e));
        goto out;
    }
    r->xml = xml;
    r->raw = &raw;
    r->ec = ec;
    XML_SetUserData(xml, r);
    XML_SetElementHandler(xml, on_begin, on_end);
    XML_SetCharacterDataHandler(xml, on_text);
    XML_SetEntityDeclHandler(xml, on_entity);
    e = feed(r, bytes);
    if (e == ERR_OK)
        e = graphml_finish(&raw, ret, ec);
out:
    if (xml != NULL)
        XML_ParserFree(xml);
    free(r);
    graphml_raw_done(&raw);
    return e;
}

void graphml_done(struct graphml *g)
{
    free(g->nodes);
    free(g->links);
    *g = (struct graphml){0};
}
