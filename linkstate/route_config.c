/* linkstate/route_config.c — a route table that keeps its configuration alive. */
#include "linkstate/route.h"

static void release_config(void *owner)
{
    config_unref(owner);
}

enum err route_table_published(struct config *conf, struct span published, struct route_table **ret,
                               struct errctx *ec)
{
    enum err e = route_table_build(config_root(conf), published, release_config, conf, ret, ec);
    if (e == ERR_OK)
        (void)config_ref(conf);
    return e;
}

enum err route_table_new(struct config *conf, struct route_table **ret, struct errctx *ec)
{
    return route_table_published(conf, SPAN(""), ret, ec);
}
