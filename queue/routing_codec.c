/* Links and neighbours as bytes in Redis: written by the master, read by whoever wants to show them. */
#include "queue/routing_int.h"

enum { FORMAT = 1, TEXT_MAX = 320 };

static void put_text(struct wr *w, struct span s)
{
    s = span_first(s, TEXT_MAX);
    wr_u16(w, (uint16_t)s.len);
    wr_bytes(w, s);
}

static struct span get_text(struct rd *r)
{
    size_t n = rd_u16(r);
    if (n > TEXT_MAX)
        r->bad = true;
    return r->bad ? SPAN("") : rd_bytes(r, n);
}

enum err routing_link_encode(const struct routing_link *k, struct buf *out)
{
    struct wr w = wr_open(out);
    wr_u8(&w, FORMAT);
    wr_u8(&w, k->up);
    put_text(&w, k->state);
    wr_u64(&w, k->since_ms);
    wr_u32(&w, k->failures);
    wr_u32(&w, k->penalty);
    wr_u64(&w, k->written_ms);
    wr_u64(&w, k->room_ms);
    wr_u64(&w, k->held_until_ms);
    wr_u64(&w, k->next_probe_ms);
    put_text(&w, k->error);
    wr_u8(&w, (uint8_t)k->override);
    wr_u64(&w, k->override_until_ms);
    put_text(&w, k->override_by);
    put_text(&w, k->override_reason);
    size_t n = k->ntargets < LINK_TARGETS_MAX ? k->ntargets : LINK_TARGETS_MAX;
    wr_u8(&w, (uint8_t)n);
    for (size_t i = 0; i < n; i++) {
        put_text(&w, k->targets[i].name);
        wr_u8(&w, k->targets[i].up);
        wr_u64(&w, k->targets[i].since_ms);
        put_text(&w, k->targets[i].error);
    }
    return w.bad ? ERR_TOOBIG : ERR_OK;
}

enum err routing_link_decode(struct span bytes, struct routing_link *ret,
                             struct routing_target targets[LINK_TARGETS_MAX])
{
    struct rd r = rd_open(bytes);
    struct routing_link k = {.targets = targets};
    bool known = rd_u8(&r) == FORMAT;
    k.up = rd_u8(&r) != 0;
    k.state = get_text(&r);
    k.since_ms = rd_u64(&r);
    k.failures = rd_u32(&r);
    k.penalty = rd_u32(&r);
    k.written_ms = rd_u64(&r);
    k.room_ms = rd_u64(&r);
    k.held_until_ms = rd_u64(&r);
    k.next_probe_ms = rd_u64(&r);
    k.error = get_text(&r);
    uint8_t override = rd_u8(&r);
    k.override_until_ms = rd_u64(&r);
    k.override_by = get_text(&r);
    k.override_reason = get_text(&r);
    k.ntargets = rd_u8(&r);
    if (r.bad || !known || override > ROUTING_DOWN || k.ntargets > LINK_TARGETS_MAX)
        return ERR_PARSE;
    k.override = (enum routing_override) override;
    for (size_t i = 0; i < k.ntargets; i++) {
        targets[i].name = get_text(&r);
        targets[i].up = rd_u8(&r) != 0;
        targets[i].since_ms = rd_u64(&r);
        targets[i].error = get_text(&r);
    }
    if (r.bad || rd_left(&r) != 0)
        return ERR_PARSE;
    *ret = k;
    return ERR_OK;
}

enum err routing_adjacency_encode(const struct routing_adjacency *a, struct buf *out)
{
    struct wr w = wr_open(out);
    wr_u8(&w, FORMAT);
    put_text(&w, a->neighbour);
    put_text(&w, a->router);
    put_text(&w, a->state);
    put_text(&w, a->carrier);
    wr_u64(&w, a->since_ms);
    wr_u64(&w, a->heard_ms);
    wr_u64(&w, a->sum_hi);
    wr_u64(&w, a->sum_lo);
    wr_u32(&w, a->pending);
    wr_u8(&w, a->equal);
    return w.bad ? ERR_TOOBIG : ERR_OK;
}

bool routing_adjacency_decode(struct rd *r, struct routing_adjacency *ret)
{
    struct routing_adjacency a = {.neighbour = SPAN_INIT("")};
    if (r->bad || rd_left(r) == 0)
        return false;
    if (rd_u8(r) != FORMAT)
        r->bad = true;
    a.neighbour = get_text(r);
    a.router = get_text(r);
    a.state = get_text(r);
    a.carrier = get_text(r);
    a.since_ms = rd_u64(r);
    a.heard_ms = rd_u64(r);
    a.sum_hi = rd_u64(r);
    a.sum_lo = rd_u64(r);
    a.pending = rd_u32(r);
    a.equal = rd_u8(r) != 0;
    if (!r->bad)
        *ret = a;
    return !r->bad;
}
