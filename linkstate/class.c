/* linkstate/class.c — restrictions of connectors, numbered; see class.h for the layout of a class. */
#include "linkstate/class.h"

enum { PRIORITY_BITS = 3, SYSTEM_BIT = 4, SIZE_SHIFT = 3, SIZE_BITS = 31, LIST_SHIFT = 8 };

static int compare_u64(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* --- Sizes ----------------------------------------------------------------------------------------- */

static enum err collect_sizes(struct class_table *t, const struct conf_connector *connectors, size_t n,
                              struct errctx *ec)
{
    for (size_t i = 0; i < n; i++) {
        uint64_t limit = connectors[i].max_message_size;
        bool known = limit == 0;
        for (size_t k = 0; k < t->nsizes && !known; k++)
            known = t->sizes[k] == limit;
        if (known)
            continue;
        if (t->nsizes == CLASS_SIZES_MAX)
            return err_set(ec, ERR_CONFIG,
                           "connectors: more than %d different values of max_message_size; "
                           "use the same limit for several connectors",
                           CLASS_SIZES_MAX);
        t->sizes[t->nsizes++] = limit;
    }
    qsort(t->sizes, t->nsizes, sizeof(t->sizes[0]), compare_u64);
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
    return strcasecmp(*(char *const *)a, *(char *const *)b);
}

struct sender_list {
    char **words; /* sorted copy of the pointers; the words stay the configuration's */
    size_t count;
    size_t owner; /* connector * 2, + 1 for reject_from */
};

static int compare_lists(const void *a, const void *b)
{
    const struct sender_list *x = a, *y = b;
    for (size_t i = 0; i < x->count && i < y->count; i++) {
        int order = strcasecmp(x->words[i], y->words[i]);
        if (order != 0)
            return order;
    }
    if (x->count != y->count)
        return x->count < y->count ? -1 : 1;
    return 0;
}

static bool list_copy(struct sender_list *list, const struct conf_strs *words, size_t owner)
{
    *list = (struct sender_list){.count = words->count, .owner = owner};
    list->words = calloc(words->count, sizeof(*list->words));
    if (list->words == NULL)
        return false;
    memcpy(list->words, words->items, words->count * sizeof(*list->words));
    qsort(list->words, list->count, sizeof(*list->words), compare_words);
    return true;
}

static enum err number_lists(struct class_table *t, const struct sender_list *lists, size_t n,
                             struct class_rule *rules, struct errctx *ec)
{
    unsigned number = 0;
    for (size_t i = 0; i < n; i++) {
        if (i > 0 && compare_lists(&lists[i - 1], &lists[i]) != 0)
            number++;
        if (number == CLASS_LISTS_MAX)
            return err_set(ec, ERR_CONFIG,
                           "connectors: more than %d different lists of senders in accept_from and "
                           "reject_from; use the same list for several connectors",
                           CLASS_LISTS_MAX);
        uint32_t bit = (uint32_t)1 << (LIST_SHIFT + number);
        struct class_rule *rule = &rules[lists[i].owner / 2];
        *(lists[i].owner % 2 == 0 ? &rule->accept : &rule->reject) = bit;
        for (size_t w = 0; w < lists[i].count; w++) {
            uint32_t *mask;
            enum err e = namemap_add(&t->senders, span_cstr(lists[i].words[w]), &mask);
            if (e != ERR_OK)
                return e;
            *mask |= bit;
        }
    }
    return ERR_OK;
}

static enum err collect_lists(struct class_table *t, const struct conf_connector *connectors, size_t n,
                              struct class_rule *rules, struct errctx *ec)
{
    enum err e = ERR_NOMEM;
    size_t count = 0;
    struct sender_list *lists = calloc(n * 2 + 1, sizeof(*lists));
    if (lists == NULL)
        return ERR_NOMEM;
    for (size_t i = 0; i < n * 2; i++) {
        const struct conf_connector *c = &connectors[i / 2];
        const struct conf_strs *words = i % 2 == 0 ? &c->accept_from : &c->reject_from;
        if (words->count == 0)
            continue;
        if (!list_copy(&lists[count], words, i))
            goto out;
        count++;
    }
    qsort(lists, count, sizeof(*lists), compare_lists);
    e = number_lists(t, lists, count, rules, ec);
out:
    for (size_t i = 0; i < count; i++)
        free(lists[i].words);
    free(lists);
    return e;
}

/* --- Table ----------------------------------------------------------------------------------------- */

static enum err priorities_mask(const struct conf_connector *c, uint8_t *ret, struct errctx *ec)
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

enum err class_table_init(struct class_table *t, const struct conf_connector *connectors, size_t n,
                          struct class_rule *rules, struct errctx *ec)
{
    *t = (struct class_table){0};
    namemap_init(&t->senders);
    enum err e = collect_sizes(t, connectors, n, ec);
    for (size_t i = 0; i < n && e == ERR_OK; i++) {
        const struct conf_connector *c = &connectors[i];
        rules[i] = (struct class_rule){.content = (uint8_t)c->content,
                                       .sizes_exceeded = sizes_allowed(t, c->max_message_size)};
        e = priorities_mask(c, &rules[i].priorities, ec);
        t->by_priority |= rules[i].priorities != 0;
        t->by_content |= c->content != CONF_CONTENT_ALL;
    }
    if (e == ERR_OK)
        e = collect_lists(t, connectors, n, rules, ec);
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
    struct span name = sender.len == 0 ? SPAN("<>") : sender;
    (void)namemap_find(&t->senders, name, namemap_hash(name), &whole);
    if (span_rfind(sender, '@', &at)) {
        struct span tail = span_from(sender, at);
        (void)namemap_find(&t->senders, tail, namemap_hash(tail), &domain);
    }
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

bool class_passes(uint32_t klass, const struct class_rule *rule)
{
    if (rule->priorities != 0 && (rule->priorities >> (klass & PRIORITY_BITS) & 1) == 0)
        return false;
    if (((klass >> SIZE_SHIFT) & SIZE_BITS) > rule->sizes_exceeded)
        return false;
    bool system = (klass & SYSTEM_BIT) != 0;
    if (rule->content == (system ? CONF_CONTENT_NON_SYSTEM : CONF_CONTENT_SYSTEM))
        return false;
    return (rule->accept == 0 || (klass & rule->accept) != 0) && (klass & rule->reject) == 0;
}
