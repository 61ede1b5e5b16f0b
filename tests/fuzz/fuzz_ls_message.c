/* links: linkstate config */
/* A message that parses can be emitted, and parses again to the same; lists end where they say. */
#include "linkstate/message.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void walk(const struct ls_message *m)
{
    struct rd r = rd_open(m->list);
    struct ls_item item;
    struct ls_advert ad;
    size_t n = 0;
    if (m->type == LS_MSG_ADVERTISE)
        while (ls_advert_next(&r, &ad))
            n += ad.header.len + ad.body.len;
    else
        while (ls_item_next(&r, &item))
            n += item.group.len;
    if (r.bad || rd_left(&r) != 0 || n > m->list.len)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ls_message m, again;
    struct errctx ec;
    struct buf once, twice;
    if (ls_message_parse(span_of((const char *)data, size), &m, &ec) != ERR_OK)
        return 0;
    if (m.list.len > 0)
        walk(&m);
    if (m.beyond.len > 0 && m.type != LS_MSG_REQUEST)
        abort();
    buf_init(&once, LS_MESSAGE_MAX);
    buf_init(&twice, LS_MESSAGE_MAX);
    if (ls_message_emit(&m, &once) != ERR_OK || ls_message_parse(buf_span(&once), &again, &ec) != ERR_OK ||
        ls_message_emit(&again, &twice) != ERR_OK || !span_eq(buf_span(&once), buf_span(&twice)))
        abort();
    buf_done(&once);
    buf_done(&twice);
    return 0;
}
