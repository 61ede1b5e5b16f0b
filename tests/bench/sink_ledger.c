#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "tests/bench/smtp_sink.h"

enum { IDS_MAX = 100 * 1000 * 1000, SLOTS_START = 64 };

static size_t slot_of(const struct ledger *ledger, const struct sockaddr_in *address)
{
    uint64_t key = (uint64_t)address->sin_addr.s_addr << 16 | address->sin_port;
    size_t slot = (size_t)(key * UINT64_C(0x9e3779b97f4a7c15) >> 32) & (ledger->local_slots - 1);
    while (ledger->locals[slot].address.sin_family != 0 &&
           (ledger->locals[slot].address.sin_addr.s_addr != address->sin_addr.s_addr ||
            ledger->locals[slot].address.sin_port != address->sin_port))
        slot = (slot + 1) & (ledger->local_slots - 1);
    return slot;
}

static void grow_locals(struct ledger *ledger)
{
    struct local *old = ledger->locals;
    size_t slots = ledger->local_slots;
    ledger->local_slots = slots == 0 ? SLOTS_START : slots * 2;
    ledger->locals = must_alloc(NULL, ledger->local_slots * sizeof(*old));
    memset(ledger->locals, 0, ledger->local_slots * sizeof(*old));
    for (size_t i = 0; i < slots; i++) {
        if (old[i].address.sin_family != 0)
            ledger->locals[slot_of(ledger, &old[i].address)] = old[i];
    }
    free(old);
}

struct local *ledger_local(struct ledger *ledger, const struct sockaddr_in *address)
{
    if (ledger->local_count * 2 >= ledger->local_slots)
        grow_locals(ledger);
    struct local *local = &ledger->locals[slot_of(ledger, address)];
    if (local->address.sin_family == 0) {
        local->address = *address;
        ledger->local_count++;
    }
    return local;
}

void ledger_open(struct ledger *ledger, const struct sockaddr_in *address)
{
    struct local *local = ledger_local(ledger, address);
    local->connections++;
    ledger->connections++;
    if (++local->current > local->max)
        local->max = local->current;
    if (++ledger->current > ledger->max)
        ledger->max = ledger->current;
}

void ledger_close(struct ledger *ledger, const struct sockaddr_in *address)
{
    ledger_local(ledger, address)->current--;
    ledger->current--;
}

/* Makes room for the number; false if it cannot be one of ours. */
static bool id_room(struct ledger *ledger, uint64_t id)
{
    if (id >= IDS_MAX)
        return false;
    if (id >= ledger->ids) {
        size_t ids = ((size_t)id + 1) * 2;
        ledger->delivered = must_alloc(ledger->delivered, ids);
        ledger->bounced = must_alloc(ledger->bounced, ids);
        memset(ledger->delivered + ledger->ids, 0, ids - ledger->ids);
        memset(ledger->bounced + ledger->ids, 0, ids - ledger->ids);
        ledger->ids = ids;
    }
    return true;
}

void ledger_delivered(struct ledger *ledger, uint64_t id, bool intact)
{
    if (!id_room(ledger, id)) {
        ledger->unnumbered++;
        return;
    }
    ledger->corrupt += !intact;
    if (ledger->delivered[id] < UINT8_MAX)
        ledger->delivered[id]++;
}

void ledger_bounced(struct ledger *ledger, uint64_t id)
{
    ledger->bounces++;
    if (id_room(ledger, id) && ledger->bounced[id] < UINT8_MAX)
        ledger->bounced[id]++;
}

void ledger_forget_messages(struct ledger *ledger)
{
    free(ledger->delivered);
    free(ledger->bounced);
    for (size_t i = 0; i < ledger->local_slots; i++) {
        struct local *local = &ledger->locals[i];
        *local = (struct local){.address = local->address, .current = local->current, .max = local->current};
    }
    *ledger = (struct ledger){.locals = ledger->locals,
                              .local_slots = ledger->local_slots,
                              .local_count = ledger->local_count,
                              .current = ledger->current,
                              .max = ledger->current};
}

void ledger_print(const struct ledger *ledger, FILE *out)
{
    uint64_t unique = 0, duplicates = 0, bounced = 0;
    unsigned local_max = 0, local_current = 0;
    for (size_t i = 0; i < ledger->ids; i++) {
        unique += ledger->delivered[i] > 0;
        duplicates += ledger->delivered[i] > 1 ? ledger->delivered[i] - 1u : 0;
        bounced += ledger->bounced[i] > 0;
    }
    for (size_t i = 0; i < ledger->local_slots; i++) {
        const struct local *local = &ledger->locals[i];
        local_max = local->max > local_max ? local->max : local_max;
        local_current = local->current > local_current ? local->current : local_current;
    }
    fprintf(out, "{\"messages\": %" PRIu64 ", \"recipients\": %" PRIu64 ", \"bytes\": %" PRIu64,
            ledger->messages, ledger->recipients, ledger->bytes);
    fprintf(out, ", \"unique\": %" PRIu64 ", \"duplicates\": %" PRIu64 ", \"bounced\": %" PRIu64, unique,
            duplicates, bounced);
    fprintf(out, ", \"corrupt\": %" PRIu64 ", \"unnumbered\": %" PRIu64 ", \"bounces\": %" PRIu64,
            ledger->corrupt, ledger->unnumbered, ledger->bounces);
    fprintf(out, ", \"attempts\": %" PRIu64 ", \"connections\": %" PRIu64, ledger->attempts,
            ledger->connections);
    fprintf(out, ", \"current\": %u, \"max\": %u", ledger->current, ledger->max);
    fprintf(out, ", \"local_current\": %u, \"local_max\": %u, \"seconds\": %.6f}\n", local_current, local_max,
            (double)(ledger->last_us - ledger->first_us) / 1e6);
}

void ledger_print_locals(const struct ledger *ledger, FILE *out)
{
    const char *comma = "";
    fputc('{', out);
    for (size_t i = 0; i < ledger->local_slots; i++) {
        const struct local *local = &ledger->locals[i];
        if (local->address.sin_family == 0)
            continue;
        fprintf(out, "%s\"%s\": {\"connections\": %" PRIu64 ", \"messages\": %" PRIu64, comma,
                net_text(&local->address), local->connections, local->messages);
        fprintf(out, ", \"current\": %u, \"max\": %u}", local->current, local->max);
        comma = ", ";
    }
    fputs("}\n", out);
}

void ledger_print_ids(const struct ledger *ledger, FILE *out)
{
    for (size_t i = 0; i < ledger->ids; i++) {
        if (ledger->delivered[i] != 0 || ledger->bounced[i] != 0)
            fprintf(out, "%zu %u %u\n", i, ledger->delivered[i], ledger->bounced[i]);
    }
}
