/* links: linkstate config */
/* Any stream of events: ticks, carriers, garbage, well-formed messages and records with true, false and
 * conflicting signatures. After every step the invariants of linkstate/engine.h hold. */
#include "linkstate/sim.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { PEERS = 2, GROUPS = 4 };
static const char *const names[GROUPS] = {"a", "b", "c", "d"}; /* "b" is the engine under test */

#define require(cond) require_at((cond), #cond, __LINE__)
static void require_at(bool ok, const char *what, int line)
{
    if (!ok) {
        (void)fprintf(stderr, "line %d: %s\n", line, what);
        abort();
    }
}

static void check_table(const struct ls *ls, struct ls_version seen[GROUPS])
{
    const struct lsdb *db = ls_table(ls);
    struct ls_sum sum = {0, 0};
    uint32_t records = 0, connectors = 0;
    for (size_t i = 0; i < db->nslots; i++) {
        const struct lsdb_record *r = lsdb_at(db, i)->record;
        if (r == NULL)
            continue;
        require(lsdb_find(db, lsdb_group(lsdb_at(db, i))) == lsdb_at(db, i));
        sum.hi += r->sum.hi;
        sum.lo += r->sum.lo;
        records++;
        connectors += r->connectors;
    }
    require(ls_sum_eq(sum, db->sum) && records == db->records && connectors == db->connectors &&
            records <= GROUPS);
    for (int g = 0; g < GROUPS; g++) { /* L2 */
        const struct lsdb_slot *s = lsdb_find(db, span_cstr(names[g]));
        if (s == NULL || s->record == NULL)
            continue;
        require(ls_version_cmp(&s->record->lsa.version, &seen[g]) >= 0);
        seen[g] = s->record->lsa.version;
    }
}

static bool is_open(const struct ls *ls, uint32_t peer)
{
    struct ls_peer_info info;
    require(ls_peer_info(ls, peer, &info));
    return info.state == ADJ_SYNC || info.state == ADJ_FULL;
}

/* was_open: before the step; an adjacency that ends in it may have been sent to before it did. */
static void check_output(const struct ls *ls, const struct ls_output *out, const bool was_open[PEERS])
{
    for (size_t i = 0; i < out->nsends; i++) {
        struct ls_message m;
        require(out->sends[i].peer < PEERS && ls_message_parse(out->sends[i].bytes, &m, NULL) == ERR_OK);
        bool open = was_open[out->sends[i].peer] || is_open(ls, out->sends[i].peer);
        require(open || m.type == LS_MSG_HELLO || m.type == LS_MSG_BYE); /* L5 */
    }
}

static uint8_t next(struct span *in)
{
    uint8_t b = in->len > 0 ? (uint8_t)in->ptr[0] : 0;
    *in = span_from(*in, 1);
    return b;
}

static void body_of(uint8_t kind, struct buf *out)
{
    struct record_connector c = {.name = SPAN("x"),
                                 .type = RECORD_SMTP,
                                 .cost = (uint8_t)(1 + kind % 3),
                                 .up = (kind & 4) != 0,
                                 .weight = 1,
                                 .priorities = RECORD_PRIORITY_ALL};
    struct record r = {.master = SPAN("r"), .connectors = &c, .nconnectors = kind & 1};
    require(record_emit(&r, out) == ERR_OK);
}

/* A record of some group, signed by some key under some certificate: mostly honest, sometimes not. */
static void advert(struct span *in, struct buf *list, bool bare)
{
    uint8_t who = next(in) % GROUPS, how = next(in), kind = next(in);
    uint32_t signer = how % 8 == 0 ? (who + 1u) % GROUPS : who,
             certified = how % 8 == 1 ? (who + 2u) % GROUPS : who;
    struct ls_version v = {next(in) % 4, next(in) % 4, next(in) % 4, next(in) % 8};
    struct buf header, body, cert;
    struct ls_crypto crypto;
    buf_init(&header, LSA_HEADER_MAX);
    buf_init(&body, RECORD_MAX);
    buf_init(&cert, CERT_MAX);
    sim_crypto(&crypto, &signer);
    sim_cert(signer, span_cstr(names[certified]), &cert);
    body_of(kind, &body);
    require(lsa_seal(span_cstr(names[who]), &v, buf_span(&body), buf_span(&cert), &crypto, &header) ==
            ERR_OK);
    struct ls_advert ad = {next(in) * 20u, buf_span(&header),
                           bare || (how & 16) != 0 ? SPAN("") : buf_span(&body)};
    require(ls_advert_add(list, &ad) == ERR_OK);
    buf_done(&header);
    buf_done(&body);
    buf_done(&cert);
}

static void compose(struct span *in, struct buf *out)
{
    char blob[LS_BUCKETS * 8] = {0};
    struct buf list, beyond;
    struct ls_message m = {.type = (enum ls_message_type)(1 + next(in) % (LS_MSG__COUNT - 1)),
                           .min_version = 1,
                           .max_version = 1};
    uint8_t b = next(in);
    buf_init(&list, LS_MESSAGE_MAX);
    buf_init(&beyond, LS_MESSAGE_MAX);
    m.organization = b % 16 == 0 ? SPAN("other") : SPAN("sim");
    m.group = span_cstr(names[b % GROUPS]);
    m.router = SPAN("r");
    m.instance = b / 16;
    m.answer = (b & 8) != 0;
    m.sum.lo = b;
    memset(blob, b, sizeof blob);
    m.buckets = span_of(blob, sizeof blob);
    m.bitmap = span_of(blob, LS_BUCKETS / 8);
    m.text = SPAN("bye");
    for (int n = b % 4; n > 0; n--) {
        struct ls_item item = {.group = span_cstr(names[next(in) % GROUPS]),
                               .version = {next(in) % 4, 0, 0, next(in) % 8},
                               .check = next(in)};
        if (m.type == LS_MSG_ADVERTISE)
            advert(in, &list, false);
        else if (m.type == LS_MSG_REQUEST && (b & 4) != 0)
            advert(in, &beyond, true);
        else
            require(ls_item_add(&list, &item) == ERR_OK);
    }
    m.list = buf_span(&list);
    m.beyond = buf_span(&beyond);
    require(ls_message_emit(&m, out) == ERR_OK);
    buf_done(&list);
    buf_done(&beyond);
}

static void one_event(struct ls *ls, struct span *in, ms_t *now_ms, struct ls_version seen[GROUPS])
{
    struct buf bytes;
    struct ls_output out;
    struct ls_event ev = {.type = (enum ls_event_type)(next(in) % 6), .peer = next(in) % PEERS};
    uint8_t b = next(in);
    buf_init(&bytes, LS_MESSAGE_MAX);
    *now_ms += (ms_t)(b & 0x3f) * ((b & 0x40) != 0 ? 60000 : 100);
    ev.now_ms = *now_ms;
    if (ev.type == LS_RECV && (b & 0x80) != 0) {
        size_t n = next(in);
        require(buf_add(&bytes, span_first(*in, n)) == ERR_OK);
        *in = span_from(*in, n);
    } else if (ev.type == LS_RECV) {
        compose(in, &bytes);
    } else if (ev.type == LS_ORIGINATE) {
        body_of(b, &bytes);
        ev.level = (enum ls_level)(b % 4);
    } else if (ev.type == LS_PURGE) {
        require(buf_add(&bytes, span_cstr(names[b % GROUPS])) == ERR_OK);
        /* by hand: versions seen so far may come back once they are forgotten */
        if (b % GROUPS != 1)
            seen[b % GROUPS] = (struct ls_version){0, 0, 0, 0};
    }
    ev.bytes = buf_span(&bytes);
    struct ls_version own = *ls_own_version(ls);
    bool was_open[PEERS] = {is_open(ls, 0), is_open(ls, 1)};
    enum err e = ls_step(ls, &ev, &out);
    require(e == ERR_OK || e == ERR_NOTFOUND || e == ERR_STATE);
    require(ls_version_cmp(ls_own_version(ls), &own) >= 0); /* L3 */
    require(out.wake_at_ms > 0);
    check_output(ls, &out, was_open);
    for (int g = 0; g < GROUPS; g++) { /* expiry forgets, as time passes */
        const struct lsdb_slot *s = lsdb_find(ls_table(ls), span_cstr(names[g]));
        if (s == NULL || s->record == NULL)
            seen[g] = (struct ls_version){0, 0, 0, 0};
    }
    check_table(ls, seen);
    buf_done(&bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span in = span_of((const char *)data, size);
    struct ls_version seen[GROUPS] = {{0}};
    struct ls_crypto crypto;
    struct buf cert;
    uint32_t self = 1, peer;
    ms_t now_ms = 1000;
    if (size > 4096)
        return 0;
    buf_init(&cert, CERT_MAX);
    sim_crypto(&crypto, &self);
    sim_cert(self, SPAN("b"), &cert);
    struct ls_options o = {.organization = SPAN("sim"),
                           .group = SPAN("b"),
                           .router = SPAN("r"),
                           .cert = buf_span(&cert),
                           .instance = 1};
    sim_org_key(o.org_key);
    struct ls *ls = ls_new(&o, &crypto, now_ms);
    require(ls != NULL && ls_peer_add(ls, SPAN("a"), &peer) == ERR_OK &&
            ls_peer_add(ls, SPAN(""), &peer) == ERR_OK);
    for (int steps = 0; in.len > 0 && steps < 200; steps++)
        one_event(ls, &in, &now_ms, seen);
    ls_free(ls);
    buf_done(&cert);
    return 0;
}
