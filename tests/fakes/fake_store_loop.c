/* The fake on a loop: a file of its own, so that tests without a loop need none. */
#include "tests/fakes/fake_store_int.h"

static void look(void *arg)
{
    struct fake_store *f = arg;
    ms_t next = fake_store_next(f), now = clock_mono(f->clock);
    if (next == UINT64_MAX)
        timer_cancel(f->timer);
    else
        timer_set(f->timer, next > now ? next - now : 0);
}

static void fire(void *arg)
{
    (void)fake_store_run(arg);
}

enum err fake_store_attach(struct fake_store *f, struct loop *l)
{
    f->timer = timer_new(l, fire, f);
    if (f->timer == NULL)
        return ERR_NOMEM;
    f->detach = fake_store_detach;
    f->kick = look;
    f->kick_arg = f;
    look(f);
    return ERR_OK;
}

void fake_store_detach(struct fake_store *f)
{
    timer_free(f->timer);
    f->timer = NULL;
    f->kick = NULL;
    f->detach = NULL;
}
