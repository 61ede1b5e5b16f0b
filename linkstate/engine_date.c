/* When a record was signed, by the sequence in its version. Nobody's clock alone decides how old a record is:
 * what it is compared with is the date that half of the other groups have reached. */
#include "linkstate/engine_internal.h"

#include <stdlib.h>

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static uint64_t now_s(uint64_t then_s, ms_t then_ms, ms_t now_ms)
{
    return then_s == 0 ? 0 : then_s + (now_ms - then_ms) / 1000;
}

/* By what others sign; 0: not known. */
static uint64_t date_now(const struct ls *ls)
{
    return now_s(ls->date_s, ls->date_ms, ls->now_ms);
}

/* The lower median of the dates that other groups have signed. */
static uint64_t median(struct ls *ls)
{
    uint64_t *dates = calloc(ls->db.nslots + 1, sizeof *dates), middle = 0;
    size_t n = 0;
    if (dates == NULL) {
        ls->nomem = true;
        return 0;
    }
    for (size_t i = 0; i < ls->db.nslots; i++) {
        const struct lsdb_slot *slot = lsdb_at(&ls->db, i);
        if (slot->record != NULL && slot->record->lsa.version.seq >= DATE_MIN_S &&
            !span_eq(lsdb_group(slot), span_cstr(ls->group)))
            dates[n++] = slot->record->lsa.version.seq;
    }
    if (n > 0) {
        qsort(dates, n, sizeof *dates, by_value);
        middle = dates[(n - 1) / 2];
    }
    free(dates);
    return middle;
}

void date_tick(struct ls *ls)
{
    if (ls->wall_s == 0 || ls->now_ms < ls->date_due_ms)
        return;
    ls->date_moved =
        ls->date_s != 0; /* at first, a group whose clock is wrong has time to find that out, too */
    ls->date_s = median(ls);
    ls->date_ms = ls->now_ms;
    ls->date_due_ms = ms_after(ls->now_ms, ls->opts.hello_ms * (ls->date_s == 0 ? 1 : 12));
}

uint64_t date_own(const struct ls *ls)
{
    uint64_t others = date_now(ls), wall = now_s(ls->wall_s, ls->wall_ms, ls->now_ms);
    return wall != 0 && others > wall && others - wall > DATE_SKEW_S ? others : wall;
}

bool date_behind(const struct ls *ls)
{
    uint64_t others = date_now(ls);
    return ls->own.seq != 0 && others > ls->own.seq && others - ls->own.seq > DATE_SKEW_S;
}

ms_t date_age_ms(const struct ls *ls, const struct ls_version *v)
{
    uint64_t others = date_now(ls);
    if (v->seq < DATE_MIN_S || others <= v->seq || others - v->seq <= DATE_SKEW_S)
        return 0;
    return (others - v->seq - DATE_SKEW_S) * 1000;
}
