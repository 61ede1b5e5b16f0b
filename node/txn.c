#include "node/txn.h"

#include <stdlib.h>
#include <string.h>

enum {
    TXN_TEXT_MAX = 128 * 1024 * 1024, /* 64,000 recipients with the longest paths and ORCPT */
    TXN_LEAD_MAX = 4096,
    INDEX_FROM = 8, /* up to so many entries a walk is faster than a table */
};

static uint32_t hash_add(uint32_t h, struct span s)
{
    for (size_t i = 0; i < s.len; i++)
        h = (h ^ (unsigned char)s.ptr[i]) * 16777619u; /* FNV-1a */
    return h;
}
enum { HASH_BASIS = 0x51ab38c5 };

struct txn *txn_new(const struct address *sender, const struct mail_params *params)
{
    struct txn *t = calloc(1, sizeof *t);
    if (t == NULL)
        return NULL;
    buf_init(&t->text, TXN_TEXT_MAX);
    buf_init(&t->lead, TXN_LEAD_MAX);
    header_init(&t->header);
    t->params = *params;
    t->refusal = REPLY_NONE;
    struct span text = sender->null ? SPAN("") : sender->text;
    if (buf_add(&t->text, text) != ERR_OK || buf_add(&t->text, params->envid) != ERR_OK ||
        buf_add(&t->text, params->visited) != ERR_OK) {
        txn_free(t);
        return NULL;
    }
    t->sender_len = (uint32_t)text.len;
    t->envid_len = (uint32_t)params->envid.len;
    t->visited_len = (uint32_t)params->visited.len;
    t->params.envid = t->params.visited = SPAN(""); /* the line they borrowed from goes away: txn_envid() */
    return t;
}

void txn_free(struct txn *t)
{
    if (t == NULL)
        return;
    buf_done(&t->text);
    buf_done(&t->lead);
    free(t->rcpts);
    free(t->domains);
    free(t->by_rcpt.slots);
    free(t->by_domain.slots);
    free(t);
}

static struct span text_at(const struct txn *t, size_t at, size_t len)
{
    return span_first(span_from(buf_span(&t->text), at), len);
}

struct span txn_sender(const struct txn *t)
{
    return text_at(t, 0, t->sender_len);
}

struct span txn_envid(const struct txn *t)
{
    return text_at(t, t->sender_len, t->envid_len);
}

struct span txn_visited(const struct txn *t)
{
    return text_at(t, t->sender_len + t->envid_len, t->visited_len);
}

size_t txn_memory(const struct txn *t)
{
    return sizeof *t + t->text.cap + t->lead.cap + t->rcpts_cap * sizeof *t->rcpts +
           t->domains_cap * sizeof *t->domains + (t->by_rcpt.cap + t->by_domain.cap) * sizeof(uint32_t);
}

static struct span rcpt_address(const struct txn *t, const struct txn_rcpt *r)
{
    return text_at(t, r->at, r->address_len);
}

struct span txn_first_recipient(const struct txn *t)
{
    return t->nrcpts == 0 ? SPAN("") : rcpt_address(t, &t->rcpts[0]);
}

/* --- the two tables -------------------------------------------------------------------------------- */

static void index_put(struct txn_index *x, uint32_t hash, uint32_t value)
{
    uint32_t i = hash & (x->cap - 1);
    while (x->slots[i] != 0)
        i = (i + 1) & (x->cap - 1);
    x->slots[i] = value + 1;
}

/* Makes room for one more entry than n; hash_of(t, i) is the hash of entry i. */
static enum err index_grow(struct txn_index *x, uint32_t n, const struct txn *t,
                           uint32_t (*hash_of)(const struct txn *t, uint32_t i))
{
    if (n + 1 <= INDEX_FROM || n + 1 <= x->cap / 2)
        return ERR_OK;
    uint32_t cap = x->cap == 0 ? 64 : x->cap * 2;
    uint32_t *slots = calloc(cap, sizeof *slots);
    if (slots == NULL)
        return ERR_NOMEM;
    free(x->slots);
    *x = (struct txn_index){.slots = slots, .cap = cap};
    for (uint32_t i = 0; i < n; i++)
        index_put(x, hash_of(t, i), i);
    return ERR_OK;
}

static uint32_t rcpt_hash(const struct txn *t, uint32_t i)
{
    return t->rcpts[i].hash;
}

static uint32_t domain_hash(const struct txn *t, uint32_t i)
{
    return t->domains[i].hash;
}

/* Calls same(t, i, key) for the candidates of hash among n entries; NULL table: all of them. */
struct key {
    struct span local; /* unquoted; of a recipient */
    struct span domain;
    uint32_t domain_index, hash;
};
typedef bool same_fn(const struct txn *t, uint32_t i, const struct key *k);

static bool index_find(const struct txn *t, const struct txn_index *x, uint32_t n, const struct key *k,
                       same_fn *same, uint32_t *ret)
{
    if (x->cap == 0) {
        for (*ret = 0; *ret < n; (*ret)++)
            if (same(t, *ret, k))
                return true;
        return false;
    }
    for (uint32_t i = k->hash & (x->cap - 1); x->slots[i] != 0; i = (i + 1) & (x->cap - 1)) {
        *ret = x->slots[i] - 1;
        if (same(t, *ret, k))
            return true;
    }
    return false;
}

static bool same_domain(const struct txn *t, uint32_t i, const struct key *k)
{
    const struct txn_domain *d = &t->domains[i];
    return d->hash == k->hash && span_eq(text_at(t, d->at, d->len), k->domain);
}

static bool same_rcpt(const struct txn *t, uint32_t i, const struct key *k)
{
    const struct txn_rcpt *r = &t->rcpts[i];
    if (r->hash != k->hash || r->domain != k->domain_index)
        return false;
    struct buf local;
    buf_init(&local, ADDRESS_PATH_MAX);
    bool same = address_local_unquote(text_at(t, r->at, r->local_len), &local) == ERR_OK &&
                span_eq(buf_span(&local), k->local);
    buf_done(&local);
    return same;
}

/* Room for one more in an array. */
static enum err array_grow(void **items, uint32_t n, uint32_t *cap, size_t size)
{
    if (n < *cap)
        return ERR_OK;
    uint32_t more = *cap == 0 ? 4 : *cap * 2;
    void *p = reallocarray(*items, more, size);
    if (p == NULL)
        return ERR_NOMEM;
    *items = p;
    *cap = more;
    return ERR_OK;
}

static enum err domain_get(struct txn *t, struct span domain, bool local, uint32_t *ret)
{
    struct key k = {.domain = domain, .hash = hash_add(HASH_BASIS, domain)};
    if (index_find(t, &t->by_domain, t->ndomains, &k, same_domain, ret))
        return ERR_OK;
    void *items = t->domains;
    enum err e = array_grow(&items, t->ndomains, &t->domains_cap, sizeof *t->domains);
    t->domains = items;
    if (e == ERR_OK)
        e = index_grow(&t->by_domain, t->ndomains, t, domain_hash);
    size_t at = t->text.len;
    if (e == ERR_OK)
        e = buf_add(&t->text, domain);
    if (e != ERR_OK)
        return e;
    *ret = t->ndomains;
    t->domains[t->ndomains++] =
        (struct txn_domain){.at = (uint32_t)at, .hash = k.hash, .len = (uint16_t)domain.len, .local = local};
    if (t->by_domain.cap > 0)
        index_put(&t->by_domain, k.hash, *ret);
    return ERR_OK;
}

static enum err rcpt_put(struct txn *t, const struct address *rcpt, const struct key *k,
                         const struct rcpt_params *params)
{
    void *items = t->rcpts;
    enum err e = array_grow(&items, t->nrcpts, &t->rcpts_cap, sizeof *t->rcpts);
    t->rcpts = items;
    if (e == ERR_OK)
        e = index_grow(&t->by_rcpt, t->nrcpts, t, rcpt_hash);
    size_t at = t->text.len;
    if (e == ERR_OK)
        e = buf_reserve(&t->text, rcpt->text.len + params->orcpt.len);
    if (e == ERR_OK)
        e = buf_add(&t->text, rcpt->text);
    if (e == ERR_OK)
        e = buf_add(&t->text, params->orcpt);
    if (e != ERR_OK)
        return e;
    t->rcpts[t->nrcpts++] = (struct txn_rcpt){
        .at = (uint32_t)at,
        .hash = k->hash,
        .domain = k->domain_index,
        .address_len = (uint16_t)rcpt->text.len,
        .local_len = (uint16_t)rcpt->local.len,
        .orcpt_len = (uint16_t)params->orcpt.len,
        .notify = params->notify,
    };
    if (t->by_rcpt.cap > 0)
        index_put(&t->by_rcpt, k->hash, t->nrcpts - 1);
    t->domains[k->domain_index].count++;
    return ERR_OK;
}

enum err txn_add(struct txn *t, const struct address *rcpt, struct span domain, bool local,
                 const struct rcpt_params *params)
{
    struct buf unquoted;
    struct key k = {.domain = domain};
    uint32_t found;
    buf_init(&unquoted, ADDRESS_PATH_MAX);
    enum err e = address_local_unquote(rcpt->local, &unquoted);
    if (e == ERR_OK)
        e = domain_get(t, domain, local, &k.domain_index);
    if (e == ERR_OK) {
        k.local = buf_span(&unquoted);
        k.hash = hash_add(hash_add(HASH_BASIS, k.local), domain);
        e = index_find(t, &t->by_rcpt, t->nrcpts, &k, same_rcpt, &found) ? ERR_EXISTS
                                                                         : rcpt_put(t, rcpt, &k, params);
    }
    buf_done(&unquoted);
    return e;
}

/* --- jobs ------------------------------------------------------------------------------------------ */

static struct recipient recipient_of(const struct txn *t, const struct txn_rcpt *r)
{
    return (struct recipient){.address = rcpt_address(t, r),
                              .orcpt = text_at(t, (size_t)r->at + r->address_len, r->orcpt_len),
                              .notify = r->notify,
                              .reply = SPAN("")};
}

static enum err allocate(struct txn_jobs *j, const struct txn *t, uint32_t **ret_next)
{
    size_t njobs = 0;
    for (uint32_t i = 0; i < t->ndomains; i++)
        njobs += (t->domains[i].count + JOB_RCPTS_MAX - 1) / JOB_RCPTS_MAX;
    j->commits = calloc(njobs, sizeof *j->commits);
    j->jobs = calloc(njobs, sizeof *j->jobs);
    j->rcpts = calloc(t->nrcpts, sizeof *j->rcpts);
    *ret_next = calloc(t->ndomains, sizeof **ret_next);
    if (j->commits != NULL && j->jobs != NULL && j->rcpts != NULL && *ret_next != NULL)
        return ERR_OK;
    free(*ret_next);
    txn_jobs_done(j);
    return ERR_NOMEM;
}

enum err txn_jobs_init(struct txn_jobs *j, const struct txn *t, uint32_t klass, ms_t wall_ms,
                       const struct txn_expiry *expiry)
{
    uint32_t *next; /* per domain: where its next recipient goes */
    *j = (struct txn_jobs){.njobs = 0};
    enum err e = allocate(j, t, &next);
    if (e != ERR_OK)
        return e;
    uint32_t at = 0;
    for (uint32_t d = 0; d < t->ndomains; d++) {
        const struct txn_domain *dom = &t->domains[d];
        next[d] = at;
        for (uint32_t left = dom->count; left > 0;) {
            uint32_t n = left < JOB_RCPTS_MAX ? left : JOB_RCPTS_MAX;
            j->jobs[j->njobs] = (struct job){
                .domain = text_at(t, dom->at, dom->len),
                .klass = klass,
                .first_ms = wall_ms,
                .next_ms = wall_ms,
                .expire_ms = ms_after(wall_ms, dom->local ? expiry->local_ms : expiry->remote_ms),
                .last_error = SPAN(""),
                .rcpts = j->rcpts + at,
                .nrcpts = n,
                .unknown = SPAN(""),
            };
            j->commits[j->njobs].job = &j->jobs[j->njobs];
            j->njobs++;
            at += n;
            left -= n;
        }
    }
    for (uint32_t i = 0; i < t->nrcpts; i++)
        j->rcpts[next[t->rcpts[i].domain]++] = recipient_of(t, &t->rcpts[i]);
    free(next);
    return ERR_OK;
}

void txn_jobs_done(struct txn_jobs *j)
{
    free(j->commits);
    free(j->jobs);
    free(j->rcpts);
    *j = (struct txn_jobs){.njobs = 0};
}
