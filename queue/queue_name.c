#include "queue/queue_name.h"

#include <stdio.h>
#include <string.h>

size_t queue_name_write(struct span domain, uint32_t klass, char out[QUEUE_NAME_BYTES])
{
    domain = span_first(domain, QUEUE_NAME_MAX);
    if (domain.len > 0)
        memcpy(out, domain.ptr, domain.len);
    out[domain.len] = '\0';
    if (klass == 0)
        return domain.len;
    int n = snprintf(out + domain.len, QUEUE_NAME_BYTES - domain.len, "!%x", (unsigned)klass);
    return domain.len + (size_t)n;
}

static bool hex_digit(char c, uint32_t *ret)
{
    if (c >= '0' && c <= '9')
        *ret = (uint32_t)(c - '0');
    else if (c >= 'a' && c <= 'f')
        *ret = (uint32_t)(c - 'a' + 10);
    else
        return false;
    return true;
}

bool queue_name_read(struct span name, struct span *ret_domain, uint32_t *ret_klass)
{
    size_t at;
    uint32_t klass = 0, digit;
    *ret_domain = name;
    *ret_klass = 0;
    if (!span_rfind(name, '!', &at))
        return name.len > 0;
    struct span hex = span_from(name, at + 1);
    if (at == 0 || hex.len == 0 || hex.len > 8)
        return false;
    for (size_t i = 0; i < hex.len; i++) {
        if (!hex_digit(hex.ptr[i], &digit))
            return false;
        klass = klass << 4 | digit;
    }
    *ret_domain = span_first(name, at);
    *ret_klass = klass;
    return true;
}
