/* linkstate/class.h — message classes: what restrictions can tell about a message, as one number.
 *
 *     bit  0..1   priority (enum priority), when a connector allows only some
 *     bit  2      a report made by us, when a connector restricts its content
 *     bit  3..7   how many of the distinct size limits the message exceeds, limits in ascending order
 *     bit  8..31  per distinct sender list, lists in their sorted order: the sender is on it
 *
 * What no connector asks for stays zero, so without restrictions there is one class, 0. The number
 * depends on the configuration alone: every process with the same configuration computes the same one. */
#pragma once
#include "common/config/config.h"
#include "linkstate/namemap.h"
#include "linkstate/route.h"

enum { CLASS_SIZES_MAX = 31, CLASS_LISTS_MAX = 24 };

struct class_rule {          /* what a connector asks of a class */
    uint8_t priorities;      /* mask of 1 << enum priority; 0: any */
    uint8_t content;         /* enum conf_connector_content */
    uint8_t sizes_exceeded;  /* at most; CLASS_SIZES_MAX: any */
    uint32_t accept, reject; /* bits of the class: one of accept must be set (0: any), none of reject */
};
struct class_table {
    bool by_priority, by_content;
    uint64_t sizes[CLASS_SIZES_MAX]; /* ascending, distinct */
    size_t nsizes;
    struct namemap senders; /* "a@b", "@b" or "<>" -> mask of list bits */
};
/* rules: one per connector, written in their order. ERR_CONFIG with the remedy, ERR_NOMEM. Keys borrow
 * from the connectors. On error nothing is kept. */
enum err class_table_init(struct class_table *t, const struct conf_connector *connectors, size_t n,
                          struct class_rule *rules, struct errctx *ec) MUST_USE;
void class_table_done(struct class_table *t); /* idempotent */
uint32_t class_of(const struct class_table *t, const struct route_message *m);
/* Total: any number is a class. */
bool class_passes(uint32_t klass, const struct class_rule *rule);
