/* Numbers with units. Declared in common/config/table.h. */
#include "common/config/table.h"

#include <stdio.h>

struct unit {
    struct span name;
    uint64_t factor;
};
/* largest first: texts use the first that divides */
static const struct unit size_units[] = {
    {SPAN_INIT("G"), 1 << 30}, {SPAN_INIT("M"), 1 << 20}, {SPAN_INIT("K"), 1 << 10}, {SPAN_INIT(""), 1}};
static const struct unit time_units[] = {{SPAN_INIT("d"), CONF_DAY},
                                         {SPAN_INIT("h"), CONF_HOUR},
                                         {SPAN_INIT("m"), CONF_MIN},
                                         {SPAN_INIT("s"), 1000},
                                         {SPAN_INIT("ms"), 1}};

/* Takes digits off s. */
static bool take_number(struct span *s, uint64_t *ret)
{
    size_t n = 0;
    while (n < s->len && s->ptr[n] >= '0' && s->ptr[n] <= '9')
        n++;
    bool ok = span_to_u64(span_first(*s, n), UINT64_MAX, ret);
    *s = span_from(*s, n);
    return ok;
}

static bool scale(uint64_t number, uint64_t factor, uint64_t *ret)
{
    if (number > UINT64_MAX / factor)
        return false;
    *ret = number * factor;
    return true;
}

bool conf_parse_size(struct span s, uint64_t *ret_bytes)
{
    uint64_t number;
    if (!take_number(&s, &number))
        return false;
    if (span_has_isuffix(s, SPAN("iB"))) /* KiB MiB GiB */
        s.len -= s.len > 2 ? 2 : 0;
    for (size_t i = 0; i < ARRAY_LEN(size_units); i++)
        if (span_ieq(s, size_units[i].name))
            return scale(number, size_units[i].factor, ret_bytes);
    return false;
}

/* The unit at the start of s. "ms" comes before "m", or "5ms" would be five minutes. */
static const struct unit *take_unit(struct span *s)
{
    for (size_t i = ARRAY_LEN(time_units); i > 0; i--) {
        const struct unit *u = &time_units[i - 1];
        if (span_has_prefix(*s, u->name)) {
            *s = span_from(*s, u->name.len);
            return u;
        }
    }
    return NULL;
}

bool conf_parse_ms(struct span s, ms_t *ret)
{
    uint64_t total = 0, last = UINT64_MAX;
    if (span_eq(s, SPAN("0"))) {
        *ret = 0;
        return true;
    }
    do { /* "1h30m": each unit once, largest first */
        uint64_t number, part;
        if (!take_number(&s, &number))
            return false;
        const struct unit *u = take_unit(&s);
        if (u == NULL || u->factor >= last || !scale(number, u->factor, &part) || part > UINT64_MAX - total)
            return false;
        last = u->factor;
        total += part;
    } while (s.len > 0);
    *ret = total;
    return true;
}

static void number_text(uint64_t v, const struct unit *units, size_t n, char out[CONF_NUMBER_TEXT])
{
    size_t i = 0;
    while (i + 1 < n && v % units[i].factor != 0)
        i++;
    (void)snprintf(out, CONF_NUMBER_TEXT, "%llu" SPAN_FMT, (unsigned long long)(v / units[i].factor),
                   SPAN_ARG(units[i].name));
}

void conf_size_text(uint64_t bytes, char out[CONF_NUMBER_TEXT])
{
    if (bytes == 0)
        (void)snprintf(out, CONF_NUMBER_TEXT, "0");
    else
        number_text(bytes, size_units, ARRAY_LEN(size_units), out);
}

void conf_ms_text(ms_t ms, char out[CONF_NUMBER_TEXT])
{
    if (ms == 0)
        (void)snprintf(out, CONF_NUMBER_TEXT, "0");
    else
        number_text(ms, time_units, ARRAY_LEN(time_units), out);
}
