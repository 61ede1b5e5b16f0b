/* common/config/table.h — settings.def.h as data: what parser, documentation and schema walk. */
#pragma once
#include "common/buf.h"
#include "common/config/arena.h"
#include "common/config/config.h"

/* How a value lies in its struct, and what YAML may hold it. */
enum conf_shape {
    SHAPE_TEXT,   /* char * */
    SHAPE_TEXTS,  /* struct conf_strs */
    SHAPE_NUMBER, /* uint64_t */
    SHAPE_SIZE,   /* uint64_t */
    SHAPE_MS,     /* ms_t */
    SHAPE_BOOL,   /* bool */
    SHAPE_NETS,   /* struct conf_nets */
    SHAPE_MSLIST, /* struct conf_mslist */
};
/* Checks one text (of SHAPE_TEXT, or an item of SHAPE_TEXTS) and appends its normal form. base_dir is
 * an absolute directory. ERR_PARSE with "what is wrong; what to write". */
typedef enum err conf_check_fn(struct span in, const char *base_dir, struct buf *out, struct errctx *ec);
struct conf_type {
    const char *name;
    enum conf_shape shape;
    conf_check_fn *check; /* NULL: any text without control characters */
    const char *what;     /* for the documentation: "a duration, e.g. 500ms 60s 10m 12h 2d" */
    const char *pattern;  /* regular expression of the JSON schema, or NULL */
};

enum conf_when { CONF_WHEN_RELOAD, CONF_WHEN_RESTART, CONF_WHEN_TOGGLE };
const char *conf_when_text(enum conf_when when); /* for people */
enum conf_row_kind { ROW_VALUE, ROW_ENUM, ROW_SECTION, ROW_LIST };
struct conf_section;
struct conf_row {
    enum conf_row_kind kind;
    enum conf_when when; /* VALUE, ENUM */
    const char *key, *help;
    size_t offset;
    const struct conf_type *type;   /* VALUE */
    const char *def;                /* VALUE, ENUM; NULL: required */
    uint64_t lo, hi;                /* VALUE; LIST: hi is the greatest length */
    const char *words;              /* ENUM: "a|b|c" */
    const struct conf_section *sub; /* SECTION, LIST */
};
struct conf_section {
    const char *name;
    size_t size; /* of its struct */
    const struct conf_row *(*rows)(size_t *ret_n);
};
extern const struct conf_section conf_section_root;

/* Any L() member: {items, count}. */
struct conf_list {
    void *items;
    size_t count;
};

/* The i-th word of "a|b|c"; false beyond the last. */
bool conf_word(const char *words, size_t i, struct span *ret);

/* Numbers with units, as people write them. false: malformed or beyond 64 bits. */
bool conf_parse_size(struct span s, uint64_t *ret_bytes);
bool conf_parse_ms(struct span s, ms_t *ret);
/* The shortest exact form: "50M", "1h30m" is "90m". */
enum { CONF_NUMBER_TEXT = 32 };
void conf_size_text(uint64_t bytes, char out[CONF_NUMBER_TEXT]);
void conf_ms_text(ms_t ms, char out[CONF_NUMBER_TEXT]);

/* The types. */
/* clang-format off */
#define CONF_TYPES(X) \
    X(STR) X(NAME) X(HOST) X(DOMAIN) X(SPACE) X(MAILBOX) X(ENDPOINT) X(REDIS_URL) X(DURABILITY) X(DELIVER) \
    X(KEY) X(PATH) X(SECRET) X(SIZE) X(MS) X(UINT) X(BOOL) X(LISTENS) X(TARGETS) X(RESOLVERS) X(IPS) X(SENDERS) \
    X(PRIORITIES) X(KEYWORDS) X(KEYS) X(NAMES) X(NETS) X(MSLIST)
/* clang-format on */
#define X(name) extern const struct conf_type conf_type_##name;
CONF_TYPES(X)
#undef X
