#include "cli/routing_view.h"

#include "router/keys.h"

#include <inttypes.h>
#include <stdio.h>

static enum err add_group(struct view *v, const struct ls_snapshot_entry *entry, const struct conf_root *root,
                          const uint8_t *org_key, const struct ls_crypto *crypto)
{
    struct view_group *g = &v->groups[v->ngroups];
    struct ls_crypto c = *crypto;
    *g = (struct view_group){.entry = *entry};
    g->age_ms =
        ms_after((ms_t)entry->age_s * 1000, v->now_ms > v->published_ms ? v->now_ms - v->published_ms : 0);
    enum err e = record_parse(entry->body, &g->record, NULL);
    g->parsed = e == ERR_OK;
    if (e == ERR_NOMEM)
        return e;
    v->ngroups++;
    if (org_key != NULL)
        g->how = lsa_verify(&entry->lsa, span_cstr(root->organization), org_key, SPAN(""), &c) == ERR_OK &&
                         lsa_check_body(&entry->lsa, entry->body, &c) == ERR_OK
                     ? VIEW_SIGNED
                     : VIEW_FORGED;
    return ERR_OK;
}

enum err view_load(const struct routing_table *t, const struct conf_root *root, struct view *ret,
                   struct errctx *ec)
{
    struct ls_snapshot snapshot;
    struct ls_snapshot_entry entry;
    struct ls_crypto crypto;
    uint8_t key[SIGN_KEY_LEN];
    bool keyed = key_text_parse(span_cstr(root->routing_group.organization_key), key);
    *ret = (struct view){.version = t->version, .published_ms = t->published_ms, .now_ms = t->now_ms};
    buf_init(&ret->bytes, ROUTING_TABLE_MAX);
    (void)snprintf(ret->master, sizeof ret->master, SPAN_FMT, SPAN_ARG(span_first(t->master, 90)));
    for (char *c = ret->master; *c != '\0';
         c++) /* from Redis; everything else is checked where it is parsed */
        if (*c < 0x20 || *c > 0x7e)
            *c = '?';
    if (t->version == 0)
        return err_set(ec, ERR_NOTFOUND,
                       "no table of link state is published; start `bridgehead router`, and see its log");
    enum err e = buf_add(&ret->bytes, t->bytes);
    if (e == ERR_OK)
        e = ls_snapshot_parse(buf_span(&ret->bytes), &snapshot, ec);
    if (e == ERR_OK && (ret->groups = calloc(snapshot.records + 1, sizeof *ret->groups)) == NULL)
        e = ERR_NOMEM;
    if (e != ERR_OK) {
        view_done(ret);
        return e == ERR_NOMEM ? err_set(ec, e, "out of memory") : e;
    }
    key_crypto(NULL, &crypto);
    ret->generation = snapshot.generation;
    ret->sum = ls_snapshot_sum(&snapshot, &crypto);
    struct rd r = rd_open(snapshot.bytes);
    while (e == ERR_OK && ls_snapshot_next(&r, &entry))
        e = add_group(ret, &entry, root, keyed ? key : NULL, &crypto);
    if (e != ERR_OK)
        view_done(ret);
    return e == ERR_OK ? e : err_set(ec, e, "out of memory");
}

void view_done(struct view *v)
{
    for (size_t i = 0; i < v->ngroups; i++)
        if (v->groups[i].parsed)
            record_done(&v->groups[i].record);
    free(v->groups);
    buf_done(&v->bytes);
    v->groups = NULL;
    v->ngroups = 0;
}

struct span view_router_name(struct span router)
{
    size_t at;
    return span_rfind(router, '-', &at) ? span_first(router, at) : router;
}

void view_version(const struct ls_version *v, char out[48])
{
    (void)snprintf(out, 48, "%" PRIu32 ".%" PRIu32 ".%" PRIu32, v->major, v->minor, v->user);
}
