#include "worker/body.h"

struct body_piece {
    unsigned refs;
    uint64_t offset;
    size_t len;
    char bytes[];
};

struct body {
    struct store *store;
    const struct claim *claim;
    body_fn *ready, *gone;
    void *ready_arg, *gone_arg;
    struct body_piece *pieces[BODY_AHEAD]; /* read and not handed out yet, in order */
    size_t npieces;
    struct body_piece *only; /* of a body of one chunk */
    uint32_t asked, arrived; /* chunks, since the start */
    unsigned flying;         /* answers awaited, stale ones included */
    unsigned stale;          /* of these: asked for before the last start over */
    uint64_t next_offset, read_offset;
    enum err err;
    bool freed;
};

static void body_gone(struct body *b)
{
    body_fn *gone = b->gone;
    void *arg = b->gone_arg;

    free(b);
    if (gone != NULL)
        gone(arg);
}

static void ask(struct body *b);

/* ERR_AGAIN of the store (it cannot be reached now) must not look like "wait, it is on its way". */
static void set_error(struct body *b, enum err e)
{
    b->err = e == ERR_AGAIN ? ERR_IO : e;
}

static void take(struct body *b, struct span bytes)
{
    struct body_piece *p = malloc(sizeof *p + bytes.len);

    if (p == NULL) {
        b->err = ERR_NOMEM;
        return;
    }
    *p = (struct body_piece){.refs = 1, .offset = b->read_offset, .len = bytes.len};
    if (bytes.len > 0)
        memcpy(p->bytes, bytes.ptr, bytes.len);
    b->read_offset += bytes.len;
    if (b->claim->body.chunks == 1) {
        p->refs++;
        b->only = p;
    }
    b->pieces[b->npieces++] = p;
}

static void on_chunk(void *arg, enum err e, struct span bytes)
{
    struct body *b = arg;

    b->flying--;
    if (b->freed) {
        if (b->flying == 0)
            body_gone(b);
        return;
    }
    if (b->stale > 0) { /* of before the start over; answers come in order */
        b->stale--;
        ask(b);
        return;
    }
    b->arrived++;
    if (e != ERR_OK)
        set_error(b, e);
    else if (b->err == ERR_OK)
        take(b, bytes);
    b->ready(b->ready_arg);
}

static void ask(struct body *b)
{
    while (b->err == ERR_OK && b->asked < b->claim->body.chunks && b->npieces + b->flying < BODY_AHEAD) {
        enum err e = store_chunk(b->store, b->claim, b->asked, on_chunk, b);

        if (e != ERR_OK) {
            set_error(b, e);
            return;
        }
        b->asked++;
        b->flying++;
    }
}

struct body *body_new(struct store *st, const struct claim *c, body_fn *ready, void *arg)
{
    struct body *b = calloc(1, sizeof *b);

    if (b == NULL)
        return NULL;
    *b = (struct body){.store = st, .claim = c, .ready = ready, .ready_arg = arg};
    ask(b);
    return b;
}

void body_listen(struct body *b, body_fn *ready, void *arg)
{
    b->ready = ready;
    b->ready_arg = arg;
}

static void drop_pieces(struct body *b)
{
    for (size_t i = 0; i < b->npieces; i++)
        body_piece_free(b->pieces[i]);
    b->npieces = 0;
}

static void start_over(struct body *b)
{
    drop_pieces(b);
    b->next_offset = b->read_offset = 0;
    if (b->only != NULL) {
        b->only->refs++;
        b->pieces[b->npieces++] = b->only;
        b->read_offset = b->only->len;
        return;
    }
    b->asked = b->arrived = 0;
    b->stale = b->flying;
    ask(b);
}

enum err body_next(struct body *b, uint64_t offset, struct body_piece **ret)
{
    static const struct body_piece end = {.refs = 1};
    struct body_piece *p;

    if (offset == 0 && b->next_offset != 0)
        start_over(b);
    if (b->err != ERR_OK)
        return b->err;
    if (offset != b->next_offset)
        return ERR_STATE;
    if (b->npieces == 0 && b->arrived == b->claim->body.chunks) {
        p = malloc(sizeof *p);
        if (p == NULL)
            return ERR_NOMEM;
        *p = end;
        *ret = p;
        return ERR_OK;
    }
    if (b->npieces == 0)
        return ERR_AGAIN;
    p = b->pieces[0];
    b->npieces--;
    for (size_t i = 0; i < b->npieces; i++)
        b->pieces[i] = b->pieces[i + 1];
    b->next_offset += p->len;
    ask(b);
    *ret = p;
    return ERR_OK;
}

struct span body_piece_span(const struct body_piece *p)
{
    return span_of(p->bytes, p->len);
}

struct body_piece *body_piece_ref(struct body_piece *p)
{
    p->refs++;
    return p;
}

void body_piece_free(struct body_piece *p)
{
    if (p != NULL && --p->refs == 0)
        free(p);
}

void body_piece_release(const void *ptr, size_t len, void *piece)
{
    (void)ptr;
    (void)len;
    body_piece_free(piece);
}

void body_free(struct body *b, body_fn *gone, void *arg)
{
    drop_pieces(b);
    body_piece_free(b->only);
    b->only = NULL;
    b->freed = true;
    b->gone = gone;
    b->gone_arg = arg;
    if (b->flying == 0)
        body_gone(b);
}
