/* linkstate/class.h — message classes: what restrictions can tell about a message, as one number.
 *
 *     bit  0..1   priority (enum priority), when a connector allows only some
 *     bit  2      a report made by us, when a connector restricts its content
 *     bit  3..7   how many of the distinct size limits the message exceeds, limits in ascending order
 *     bit  8..30  per distinct sender list, own ones first, in their sorted order: the sender is on it
 *     bit  31     it came from another routing group, when scope asks for that
 *
 * What no connector asks for stays zero, so without restrictions there is one class, 0. The number
 * depends on the configuration, and on the restrictions that other groups announce: every process that has
 * the same of both computes the same one. There are so many sizes and lists and no more: this group's own
 * come first; a connector of another group whose restrictions cannot be told any more is not used. */
#pragma once
#include "common/config/config.h"
#include "linkstate/namemap.h"
#include "linkstate/route.h"

enum { CLASS_SIZES_MAX = 31, CLASS_LISTS_MAX = 23 };
#define CLASS_IN_TRANSIT ((uint32_t)1 << 31)

struct class_limits {                   /* restrictions of a connector, whoever owns it */
    uint64_t max_size;                  /* 0: any */
    uint8_t priorities;                 /* mask of 1 << enum priority; 0: any */
    uint8_t content;                    /* enum conf_connector_content */
    bool foreign;                       /* another group's */
    const struct span *accept, *reject; /* "a@b", "@b" or "<>"; outlive the table */
    size_t naccept, nreject;
};
struct class_rule {          /* what a connector asks of a class */
    uint8_t priorities;      /* mask of 1 << enum priority; 0: any */
    uint8_t content;         /* enum conf_connector_content */
    uint8_t sizes_exceeded;  /* at most; CLASS_SIZES_MAX: any */
    bool never;              /* its restrictions have no number */
    uint32_t accept, reject; /* bits of the class: one of accept must be set (0: any), none of reject */
};
struct class_table {
    bool by_priority, by_content;
    uint64_t sizes[CLASS_SIZES_MAX]; /* ascending, distinct */
    size_t nsizes;
    struct namemap senders; /* "a@b", "@b" or "<>" -> mask of list bits */
};
/* The words of a connector's priorities as a mask. ERR_CONFIG with the remedy. */
enum err class_priorities(const struct conf_connector *c, uint8_t *ret, struct errctx *ec) MUST_USE;
/* rules: one for each of limits, in that order. ERR_CONFIG with the remedy when this group's own are too
 * many, ERR_NOMEM. On error nothing is kept. */
enum err class_table_init(struct class_table *t, const struct class_limits *limits, size_t n,
                          struct class_rule *rules, struct errctx *ec) MUST_USE;
void class_table_done(struct class_table *t); /* idempotent */
uint32_t class_of(const struct class_table *t, const struct route_message *m);
/* Total: any number is a class. */
bool class_passes(uint32_t klass, const struct class_rule *rule);
/* The same, for people: the setting that the class does not pass, or NULL. */
const char *class_obstacle(uint32_t klass, const struct class_rule *rule);
bool class_rule_eq(const struct class_rule *a, const struct class_rule *b);
