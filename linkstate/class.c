/* linkstate/class.c — restrictions of connectors, numbered; see class.h for the layout of a class. */
#include "linkstate/class.h"

#include "common/address.h"

enum { PRIORITY_BITS = 3, SYSTEM_BIT = 4, SIZE_SHIFT = 3, SIZE_BITS = 31, LIST_SHIFT = 8 };

static int compare_u64(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* --- Sizes ----------------------------------------------------------------------------------------- */

static bool size_known(const struct class_table *t, uint64_t limit)
{
    bool known = limit == 0;
    for (size_t k = 0; k < t->nsizes && !known; k++)
        known = t->sizes[k] == limit;
    return known;
}

static enum err collect_sizes(struct class_table *t, const struct class_limits *limits, size_t n,
                              bool foreign, struct errctx *ec)
{
    for (size_t i = 0; i < n; i++) {
        if (limits[i].foreign != foreign || size_known(t, limits[i].max_size))
            continue;
        if (t->nsizes == CLASS_SIZES_MAX && foreign)
            return ERR_OK;
        if (t->nsizes == CLASS_SIZES_MAX)
            return err_set(ec, ERR_CONFIG,
                           "connectors: more than %d different values of max_message_size; "
                           "use the same limit for several connectors",
                           CLASS_SIZES_MAX);
        t->sizes[t->nsizes++] = limits[i].max_size;
    }
    return ERR_OK;
}

static uint8_t sizes_allowed(const struct class_table *t, uint64_t limit)
{
    if (limit == 0)
        return CLASS_SIZES_MAX;
    uint8_t below = 0;
    while (below < t->nsizes && t->sizes[below] < limit)
        below++;
    return below;
}

/* --- Sender lists ---------------------------------------------------------------------------------- */

/* Lists with the same words in any order and case are one list. */
static int compare_words(const void *a, const void *b)
{
    const struct span *x = a, *y = b;
    int order = strncasecmp(x->ptr, y->ptr, x->len < y->len ? x->len : y->len);
    return order != 0 ? order : (x->len > y->len) - (x->len < y->len);
}

struct sender_list {
    struct span *words; /* sorted copy; the text stays whose it was */
    size_t count;
    size_t owner; /* connector * 2, + 1 for reject_from */
    bool foreign;
};

static int compare_lists(const void *a, const void *b)
{
    const struct sender_list *x = a, *y = b;
    for (size_t i = 0; i < x->count && i < y->count; i++) {
        int order = compare_words(&x->words[i], &y->words[i]);
        if (order != 0)
            return order;
    }
    if (x->count != y->count)
        return x->count < y->count ? -1 : 1;
    return 0;
}

/* Equal ones beside each other, this group's first. */
static int compare_for_sort(const void *a, const void *b)
{
    const struct sender_list *x = a, *y = b;
    int order = compare_lists(a, b);
    return order != 0 ? order : (int)x->foreign - (int)y->foreign;
}

static bool list_copy(struct sender_list *list, const struct span *words, size_t n, size_t owner,
                      bool foreign)
{
    *list = (struct sender_list){.count = n, .owner = owner, .foreign = foreign};
    list->words = calloc(n, sizeof(*list->words));
    if (list->words == NULL)
        return false;
    memcpy(list->words, words, n * sizeof(*list->words));
    qsort(list->words, n, sizeof(*list->words), compare_words);
    return true;
}

static enum err enter_words(struct class_table *t, const struct sender_list *list, uint32_t bit)
{
    for (size_t w = 0; w < list->count; w++) {
        uint32_t *mask;
        enum err e = namemap_add(&t->senders, list->words[w], &mask);
        if (e != ERR_OK)
            return e;
        *mask |= bit;
    }
    return ERR_OK;
}

/* Numbers the lists that begin with one of this group's (foreign: with another's), from *number on. */
static enum err number_lists(struct class_table *t, const struct sender_list *lists, size_t n, bool foreign,
                             unsigned *number, struct class_rule *rules, struct errctx *ec)
{
    size_t next;
    for (size_t i = 0; i < n; i = next) {
        for (next = i + 1; next < n && compare_lists(&lists[i], &lists[next]) == 0;)
            next++;
        if (lists[i].foreign != foreign)
            continue;
        bool room = *number < CLASS_LISTS_MAX;
        if (!room && !foreign)
            return err_set(ec, ERR_CONFIG,
                           "connectors: more than %d different lists of senders in accept_from and "
                           "reject_from; use the same list for several connectors",
                           CLASS_LISTS_MAX);
        uint32_t bit = room ? (uint32_t)1 << (LIST_SHIFT + (*number)++) : 0;
        enum err e = room ? enter_words(t, &lists[i], bit) : ERR_OK;
        if (e != ERR_OK)
            return e;
        for (size_t k = i; k < next; k++) {
            struct class_rule *rule = &rules[lists[k].owner / 2];
            *(lists[k].owner % 2 == 0 ? &rule->accept : &rule->reject) = bit;
            rule->never = rule->never || !room;
        }
    }
    return ERR_OK;
}

static enum err collect_lists(struct class_table *t, const struct class_limits *limits, size_t n,
                              struct class_rule *rules, struct errctx *ec)
{
    enum err e = ERR_NOMEM;
    size_t count = 0;
    unsigned number = 0;
    struct sender_list *lists = calloc(n * 2 + 1, sizeof(*lists));
    if (lists == NULL)
        return ERR_NOMEM;
    for (size_t i = 0; i < n * 2; i++) {
        const struct class_limits *c = &limits[i / 2];
        size_t words = i % 2 == 0 ? c->naccept : c->nreject;
        if (words == 0)
            continue;
        if (!list_copy(&lists[count], i % 2 == 0 ? c->accept : c->reject, words, i, c->foreign))
            goto out;
        count++;
    }
    qsort(lists, count, sizeof(*lists), compare_for_sort);
    e = number_lists(t, lists, count, false, &number, rules, ec);
    if (e == ERR_OK)
        e = number_lists(t, lists, count, true, &number, rules, ec);
out:
    for (size_t i = 0; i < count; i++)
        free(lists[i].words);
    free(lists);
    return e;
}

/* --- Table ----------------------------------------------------------------------------------------- */

enum err class_priorities(const struct conf_connector *c, uint8_t *ret, struct errctx *ec)
{
    static const char *const names[] = {
        [PRIORITY_NORMAL] = "normal", [PRIORITY_LOW] = "low", [PRIORITY_HIGH] = "high"};
    uint8_t mask = 0;
    for (size_t i = 0; i < c->priorities.count; i++) {
        uint8_t bit = 0;
        for (size_t p = 0; p < ARRAY_LEN(names); p++) {
            if (strcasecmp(c->priorities.items[i], names[p]) == 0)
                bit = (uint8_t)(1u << p);
        }
        if (bit == 0)
            return err_set(ec, ERR_CONFIG, "connector %s: unknown priority '%s'; use low, normal or high",
                           c->name, c->priorities.items[i]);
        mask |= bit;
    }
    *ret = mask;
    return ERR_OK;
}

enum err class_table_init(struct class_table *t, const struct class_limits *limits, size_t n,
                          struct class_rule *rules, struct errctx *ec)
{
    *t = (struct class_table){0};
    namemap_init(&t->senders);
    enum err e = collect_sizes(t, limits, n, false, ec);
    if (e == ERR_OK)
        e = collect_sizes(t, limits, n, true, ec);
    qsort(t->sizes, t->nsizes, sizeof(t->sizes[0]), compare_u64);
    for (size_t i = 0; i < n && e == ERR_OK; i++) {
        const struct class_limits *c = &limits[i];
        rules[i] = (struct class_rule){.priorities = c->priorities,
                                       .content = c->content,
                                       .sizes_exceeded = sizes_allowed(t, c->max_size),
                                       .never = !size_known(t, c->max_size)};
        t->by_priority |= rules[i].priorities != 0;
        t->by_content |= c->content != CONF_CONTENT_ALL;
    }
    if (e == ERR_OK)
        e = collect_lists(t, limits, n, rules, ec);
    if (e != ERR_OK)
        class_table_done(t);
    return e;
}

void class_table_done(struct class_table *t)
{
    namemap_done(&t->senders);
}

static uint32_t sender_bits(const struct class_table *t, struct span sender)
{
    uint32_t whole = 0, domain = 0;
    size_t at;
    if (t->senders.count == 0)
        return 0;
    struct buf normal; /* as the lists have it: the domain with its U-labels as A-labels */
    buf_init(&normal, ADDRESS_PATH_MAX + ADDRESS_DOMAIN_MAX);
    if (!span_is_ascii(sender) && span_rfind(sender, '@', &at) &&
        buf_add(&normal, span_first(sender, at + 1)) == ERR_OK &&
        domain_normalize(span_from(sender, at + 1), &normal) == ERR_OK)
        sender = buf_span(&normal);
    struct span name = sender.len == 0 ? SPAN("<>") : sender;
    (void)namemap_find(&t->senders, name, namemap_hash(name), &whole);
    if (span_rfind(sender, '@', &at)) {
        struct span tail = span_from(sender, at);
        (void)namemap_find(&t->senders, tail, namemap_hash(tail), &domain);
    }
    buf_done(&normal);
    return whole | domain;
}

uint32_t class_of(const struct class_table *t, const struct route_message *m)
{
    uint32_t klass = sender_bits(t, m->sender), exceeded = 0;
    while (exceeded < t->nsizes && m->size_bytes > t->sizes[exceeded])
        exceeded++;
    klass |= exceeded << SIZE_SHIFT;
    if (t->by_priority)
        klass |= (uint32_t)m->priority & PRIORITY_BITS;
    if (t->by_content && m->system)
        klass |= SYSTEM_BIT;
    return klass;
}

const char *class_obstacle(uint32_t klass, const struct class_rule *rule)
{
    bool system = (klass & SYSTEM_BIT) != 0;
    if (rule->never)
        return "restrictions";
    if (rule->priorities != 0 && (rule->priorities >> (klass & PRIORITY_BITS) & 1) == 0)
        return "priorities";
    if (((klass >> SIZE_SHIFT) & SIZE_BITS) > rule->sizes_exceeded)
        return "max_message_size";
    if (rule->content == (system ? CONF_CONTENT_NON_SYSTEM : CONF_CONTENT_SYSTEM))
        return "content";
    if (rule->accept != 0 && (klass & rule->accept) == 0)
        return "accept_from";
    return (klass & rule->reject) != 0 ? "reject_from" : NULL;
}

bool class_passes(uint32_t klass, const struct class_rule *rule)
{
    return class_obstacle(klass, rule) == NULL;
}

bool class_rule_eq(const struct class_rule *a, const struct class_rule *b)
{
    return a->priorities == b->priorities && a->content == b->content &&
           a->sizes_exceeded == b->sizes_exceeded && a->never == b->never && a->accept == b->accept &&
           a->reject == b->reject;
}
