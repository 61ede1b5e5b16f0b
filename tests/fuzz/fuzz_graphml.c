/* links: linkstate */
/* Any bytes as GraphML: refused with a reason, or a topology that a simulation can be built of. */
#include "linkstate/graphml.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool ok)
{
    if (!ok)
        abort();
}

static void check_name(const struct graphml *g, size_t i)
{
    const char *name = g->nodes[i].name;
    size_t len = strlen(name);
    require(len > 0 && len <= RECORD_NAME_MAX);
    require(strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") == len);
    for (size_t k = 0; k < i && g->nnodes < 100; k++)
        require(strcmp(name, g->nodes[k].name) != 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct graphml g;
    struct errctx ec = {""};
    if (graphml_parse(span_of((const char *)data, size), &g, &ec) != ERR_OK) {
        require(ec.msg[0] != '\0');
        return 0;
    }
    require(g.nnodes <= LSDB_GROUPS_MAX && g.nlinks <= LSDB_CONNECTORS_MAX);
    for (size_t i = 0; i < g.nnodes; i++)
        check_name(&g, i);
    for (size_t i = 0; i < g.nlinks; i++) {
        const struct graphml_link *l = &g.links[i], *last = i > 0 ? l - 1 : l;
        require(l->a < l->b && l->b < g.nnodes);
        require(l->cost_ab <= RECORD_COST_MAX && l->cost_ba <= RECORD_COST_MAX &&
                (l->cost_ab | l->cost_ba) != 0);
        require(i == 0 || last->a < l->a || (last->a == l->a && last->b < l->b));
    }
    graphml_done(&g);
    return 0;
}
