/* common/config/exchange.h — where the settings of an Exchange Server 2003 SMTP virtual server went. */
#pragma once
#include "common/attr.h"

struct exchange_setting {
    const char *setting;  /* for people */
    const char *metabase; /* its key in the metabase, or "" */
    const char *was;      /* its default there */
    const char *key;      /* ours: "delivery.retry.expire"; [] for lists; NULL: there is none */
    const char *note;     /* what differs, or why there is none */
};
extern const struct exchange_setting exchange_settings[];
extern const size_t exchange_setting_count;
