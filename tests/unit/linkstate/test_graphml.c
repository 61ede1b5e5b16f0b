/* tests/unit/linkstate/test_graphml.c — published topologies: names, costs, and what is refused. */
#include "common/buf.h"
#include "linkstate/graphml.h"
#include "tests/unit/check.h"

#include <string.h>

/* "name name ... | a-b cost/cost ..." */
static void describe(const struct graphml *g, struct buf *out)
{
    buf_clear(out);
    for (size_t i = 0; i < g->nnodes; i++)
        assert_int_equal(buf_addf(out, "%s ", g->nodes[i].name), ERR_OK);
    assert_int_equal(buf_addf(out, "|"), ERR_OK);
    for (size_t i = 0; i < g->nlinks; i++) {
        const struct graphml_link *l = &g->links[i];
        assert_int_equal(buf_addf(out, " %u-%u %u/%u", l->a, l->b, l->cost_ab, l->cost_ba), ERR_OK);
    }
    if (g->measure != NULL)
        assert_int_equal(buf_addf(out, " %s%s", g->measure, g->scaled ? " scaled" : ""), ERR_OK);
    if (g->loops + g->parallel > 0)
        assert_int_equal(buf_addf(out, " %zu loops %zu parallel", g->loops, g->parallel), ERR_OK);
}

#define HEAD              "<?xml version='1.0'?>\n<graphml xmlns='http://graphml.graphdrawing.org/xmlns'>\n"
#define KEY(id, of, name) "<key id='" id "' for='" of "' attr.name='" name "' attr.type='double'/>\n"
#define NODE(id, label)   "<node id='" id "'><data key='l'>" label "</data></node>\n"
#define EDGE(a, b, value) "<edge source='" a "' target='" b "'><data key='v'>" value "</data></edge>\n"
#define TAIL              "</graph></graphml>\n"
#define THREE             "<graph edgedefault='undirected'>\n<node id='x'/><node id='y'/><node id='z'/>\n"

static void test_graphml__names_and_costs(void **state)
{
    static const struct {
        const char *xml, *want;
    } cases[] = {
        {HEAD "<graph>" TAIL, "|"},
        {HEAD THREE "<edge source='x' target='y'/><edge source='z' target='x'/>" TAIL,
         "x y z | 0-1 1/1 0-2 1/1"},
        /* labels */
        {HEAD KEY("l", "node", "label") "<graph>" NODE("0", " S\xc3\xa3o Paulo ")
             NODE("1", "Frankfurt (Main)") NODE("2", "?") TAIL,
         "S-o-Paulo Frankfurt-Main 2 |"},
        {HEAD KEY("l", "node", "label") "<graph>" NODE("0", "None") NODE("1", "none") NODE("2", "None")
             NODE("3", "Y") TAIL,
         "None-0 none-1 None-2 Y |"},
        {HEAD KEY("n", "node", "name")
             KEY("l", "node", "label") "<graph><node id='0'><data key='n'>b</data><data "
                                       "key='l'>a</data><data key='n'>c</data></node>" TAIL,
         "a |"},
        /* costs as they are, rounded; the one without is as dear as the dearest */
        {HEAD KEY("v", "edge", "cost") THREE EDGE("x", "y", " 7.4 ")
             EDGE("y", "z", "1e1") "<edge source='x' target='z'/>" TAIL,
         "x y z | 0-1 7/7 0-2 10/10 1-2 10/10 cost"},
        {HEAD KEY("v", "edge", "weight") THREE EDGE("x", "y", "1500") EDGE("y", "z", "30") EDGE("x", "z", "0")
             TAIL,
         "x y z | 0-1 100/100 0-2 1/1 1-2 2/2 weight scaled"},
        {HEAD KEY("v", "edge", "Weight") THREE EDGE("x", "y", ".5") EDGE("y", "z", "0.25") TAIL,
         "x y z | 0-1 100/100 1-2 50/50 weight scaled"},
        {HEAD "<key id='v' for='edge' attr.name='cost'><default>5</default></key>" THREE
              "<edge source='x' target='y'/>" EDGE("y", "z", "9") TAIL,
         "x y z | 0-1 5/5 1-2 9/9 cost"},
        /* speeds: the fastest is the cheapest */
        {HEAD KEY("v", "edge", "LinkSpeedRaw") THREE EDGE("x", "y", "10000000000.0")
             EDGE("y", "z", "2500000000") "<edge source='x' target='z'/>" TAIL,
         "x y z | 0-1 1/1 0-2 4/4 1-2 4/4 LinkSpeedRaw"},
        {HEAD KEY("v", "edge", "LinkSpeed") KEY("u", "edge", "LinkSpeedUnits") THREE EDGE(
             "x", "z",
             "0") "<edge source='x' target='y'><data key='u'>G</data><data key='v'>1</data></edge>"
                  "<edge source='y' target='z'><data key='v'>155</data><data key='u'>M</data></edge>" TAIL,
         "x y z | 0-1 1/1 0-2 100/100 1-2 6/6 LinkSpeed"},
        /* of parallel edges the cheapest; directed ones are one way */
        {HEAD KEY("v", "edge", "cost") THREE EDGE("x", "y", "7") EDGE("y", "x", "3") EDGE("z", "z", "1") TAIL,
         "x y z | 0-1 3/3 cost 1 loops 1 parallel"},
        {HEAD KEY("v", "edge",
                  "cost") "<graph edgedefault='directed'><node id='x'/><node id='y'/><node id='z'/>" EDGE("y",
                                                                                                          "x",
                                                                                                          "7")
             EDGE("x", "y", "3") "<edge source='y' target='z' directed='false'/>" EDGE("z", "x", "2") TAIL,
         "x y z | 0-1 3/7 0-2 0/2 1-2 7/7 cost"},
        /* edges before nodes, ports, foreign markup, prefixes, comments */
        {"<g:graphml xmlns:g='http://graphml.graphdrawing.org/xmlns'><g:desc><node "
         "id='no'/></g:desc><g:graph>"
         "<g:edge source='a' target='b'/><!-- no --><g:node id='a'><g:port name='p'/><g:data key='?'><y:Shape"
         " xmlns:y='urn:y'><node id='no'/></y:Shape></g:data></g:node><g:node id='b'/></g:graph></g:graphml>",
         "a b | 0-1 1/1"},
    };
    struct buf got;
    (void)state;
    buf_init(&got, 4096);
    CHECK_EACH (cases, c) {
        struct graphml g;
        struct errctx ec = {""};
        if (graphml_parse(span_cstr(c->xml), &g, &ec) != ERR_OK)
            fail_msg("%s: %s", c->xml, ec.msg);
        describe(&g, &got);
        assert_string_equal(buf_cstr(&got), c->want);
        graphml_done(&g);
    }
    buf_done(&got);
}

static void test_graphml__refused_with_the_line(void **state)
{
    static const char long_label[] = "0123456789012345678901234567890123456789012345678901234567890123456789";
    static char with_long_label[1024];
    (void)snprintf(with_long_label, sizeof with_long_label,
                   HEAD KEY("l", "node", "label") "<graph>\n<node id='0'><data key='l'>%s</data></node>" TAIL,
                   long_label);
    static const struct {
        const char *xml;
        enum err e;
        const char *says;
    } cases[] = {
        {"", ERR_PARSE, "line 1: no element found"},
        {"organization: acme\n", ERR_PARSE, "line 1: syntax error"},
        {"<svg/>", ERR_PARSE, "line 1: this is no GraphML; the outermost element is: svg"},
        {HEAD "</graphml>", ERR_PARSE, "there is no <graph> in it"},
        {HEAD "<graph>\n<node id='a'/>\n</grap>", ERR_PARSE, "line 5: mismatched tag"},
        {HEAD "<graph>\n<node/>" TAIL, ERR_PARSE, "line 4: <node> without id"},
        {HEAD THREE "<edge source='x'/>" TAIL, ERR_PARSE, "line 5: <edge> without target"},
        {HEAD THREE "\n<edge source='x' target='q'/>" TAIL, ERR_PARSE,
         "line 6: an edge names node 'q', which is not there"},
        {HEAD THREE "<node id='x'/>" TAIL, ERR_PARSE, "line 5: node 'x' is there twice"},
        {HEAD KEY("v", "edge", "cost") THREE EDGE("x", "y", "-1") TAIL, ERR_PARSE,
         "line 6: a cost or speed that is no number of at least 0: -1"},
        {HEAD KEY("v", "edge", "cost") THREE EDGE("x", "y", "1e99") TAIL, ERR_PARSE,
         "line 6: a cost or speed that is no number of at least 0: 1e99"},
        {HEAD KEY("v", "edge", "cost") THREE EDGE("x", "y", "") TAIL, ERR_PARSE,
         "line 6: a cost or speed that is no number of at least 0: "},
        {HEAD "<graph>\n<hyperedge/>" TAIL, ERR_PARSE,
         "line 4: a hyperedge; write it as edges between two nodes each"},
        {HEAD "<graph/><graph/></graphml>", ERR_PARSE,
         "line 3: a second graph; take it into a file of its own"},
        {HEAD "<graph><node id='a'><graph/></node>" TAIL, ERR_PARSE,
         "line 3: a graph within a graph; write its nodes into the outer one"},
        {HEAD "<graph><node id='&#228;'/>" TAIL, ERR_PARSE,
         "line 3: neither label nor id has a letter or digit"},
        {HEAD KEY("l", "node", "label") "<graph>" NODE("1", "a") NODE("2", "a") NODE("3", "a-1") TAIL,
         ERR_PARSE, "line 6: the name 'a-1' is there twice, even with the nodes' ids"},
        {with_long_label, ERR_TOOBIG, "line 5: a name longer than 63 characters; shorten the label"},
        {"<!DOCTYPE graphml [\n<!ENTITY a 'aaaa'>\n<!ENTITY b '&a;&a;&a;&a;'>]><graphml>&b;</graphml>",
         ERR_PARSE, "line 2: entity declarations are refused; write the text itself: a"},
        {"<!DOCTYPE graphml [<!ENTITY % p SYSTEM 'file:///etc/passwd'>]><graphml/>", ERR_PARSE,
         "line 1: entity declarations are refused; write the text itself: p"},
    };
    (void)state;
    CHECK_EACH (cases, c) {
        struct graphml g;
        struct errctx ec = {""};
        enum err e = graphml_parse(span_cstr(c->xml), &g, &ec);
        if (e == ERR_OK)
            graphml_done(&g);
        assert_string_equal(ec.msg, c->says);
        assert_int_equal(e, c->e);
    }
}

/* item: # is a number. */
static void repeat(struct buf *out, const char *head, const char *item, size_t n, const char *tail)
{
    buf_clear(out);
    assert_int_equal(buf_add(out, span_cstr(head)), ERR_OK);
    for (size_t i = 0; i < n; i++)
        for (const char *c = item; *c != '\0'; c++)
            assert_int_equal(*c == '#' ? buf_addf(out, "%zu", i) : buf_addc(out, *c), ERR_OK);
    assert_int_equal(buf_add(out, span_cstr(tail)), ERR_OK);
}

static void test_graphml__bounds(void **state)
{
    static const struct {
        const char *head, *item, *tail;
        size_t most;
        const char *says;
    } cases[] = {
        {HEAD "<graph>", "<node id='#'/>", TAIL, LSDB_GROUPS_MAX,
         "line 3: more nodes than an organization has groups (10000)"},
        {HEAD THREE, "<edge source='x' target='y'/>", TAIL, LSDB_CONNECTORS_MAX,
         "line 5: more than 100000 edges"},
        {HEAD, "<key id='#' for='edge' attr.name='#'/>", "<graph/></graphml>", 256,
         "line 3: more than 256 keys"},
        {HEAD "<graph/>", "<deep>", "", 31, "line 3: elements nested more than 32 deep"},
        {HEAD KEY("l", "node", "name") "<graph><node id='a'><data key='l'>", "x", "</data></node>" TAIL, 255,
         "line 4: a label or number longer than 255 bytes"},
    };
    struct buf xml;
    (void)state;
    buf_init(&xml, GRAPHML_MAX + 2);
    CHECK_EACH (cases, c) {
        struct graphml g;
        struct errctx ec = {""};
        repeat(&xml, c->head, c->item, c->most, c->tail);
        enum err e = graphml_parse(buf_span(&xml), &g, &ec);
        if (e == ERR_OK)
            graphml_done(&g);
        assert_string_not_equal(ec.msg, c->says);
        repeat(&xml, c->head, c->item, c->most + 1, c->tail);
        assert_int_equal(graphml_parse(buf_span(&xml), &g, &ec), ERR_TOOBIG);
        assert_string_equal(ec.msg, c->says);
    }
    buf_done(&xml);
}

/* The reference network that the tests of real routers use, too. */
static void test_graphml__a_published_topology(void **state)
{
    struct buf xml;
    struct graphml g;
    struct errctx ec = {""};
    FILE *f = fopen(TESTS_DIR "/topologies/cost266.graphml", "re");
    (void)state;
    assert_non_null(f);
    buf_init(&xml, 1 << 20);
    assert_int_equal(buf_reserve(&xml, 1 << 16), ERR_OK);
    buf_wrote(&xml, fread(xml.ptr, 1, 1 << 16, f));
    (void)fclose(f);
    if (graphml_parse(buf_span(&xml), &g, &ec) != ERR_OK)
        fail_msg("%s", ec.msg);
    assert_int_equal(g.nnodes, 28);
    assert_int_equal(g.nlinks, 41);
    assert_string_equal(g.nodes[27].name, "zurich");
    assert_string_equal(g.measure, "cost");
    assert_false(g.scaled);
    assert_int_equal(g.links[0].b, 6); /* amsterdam - brussels */
    assert_int_equal(g.links[0].cost_ab, 9);
    graphml_done(&g);
    buf_done(&xml);
}

int main(void)
{
    return CHECK_RUN(cmocka_unit_test(test_graphml__names_and_costs),
                     cmocka_unit_test(test_graphml__refused_with_the_line),
                     cmocka_unit_test(test_graphml__bounds),
                     cmocka_unit_test(test_graphml__a_published_topology));
}
