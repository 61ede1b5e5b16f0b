/* common/config/config.h — bridgehead.yaml as the programs read it: one immutable snapshot.
 *
 * Lifetimes: config_load() makes a snapshot with one reference; every thread that reads it holds a
 * reference of its own (config_ref/config_unref may be called from any thread). A reload makes a new
 * snapshot; nothing changes under a reader. Pointers inside live as long as the snapshot.
 *
 * Members come from settings.def.h: struct conf_virtual_server has `max_recipients`, struct
 * conf_retry has `schedule`, and so on. Strings are never NULL; a list is {items, count}. Paths are
 * absolute, domains lower-case; virtual_servers has at least one item. redis.url and redis.durability
 * are taken apart by redis_url.h and durability.h. */
#pragma once
#include "common/buf.h"
#include "common/clock.h"
#include "common/config/settings.def.h"
#include "common/err.h"
#include "common/ip.h"

struct conf_strs {
    char **items;
    size_t count;
};
struct conf_nets {
    struct ip_net *items;
    size_t count;
};
struct conf_mslist {
    ms_t *items;
    size_t count;
};

enum { CONF_NAME_MAX = 63 }; /* of an item of NAMES: what travels in records has no longer names */
/* Indexes of the E() rows, in the order of their words. */
enum conf_line_endings { CONF_LINE_STRICT, CONF_LINE_NORMALIZE };
enum conf_delivery_tls { CONF_TLS_NONE, CONF_TLS_OPPORTUNISTIC, CONF_TLS_REQUIRED, CONF_TLS_VERIFIED };
enum conf_connector_tls { /* 0: as delivery.tls; else conf_delivery_tls + 1 */ CONF_CTLS_DEFAULT };
enum conf_connector_type { CONF_CONNECTOR_SMTP, CONF_CONNECTOR_ROUTING_GROUP };
enum conf_connector_deliver { CONF_DELIVER_AUTO, CONF_DELIVER_DNS, CONF_DELIVER_SMART_HOSTS };
enum conf_connector_scope { CONF_SCOPE_ORGANIZATION, CONF_SCOPE_GROUP };
enum conf_connector_content { CONF_CONTENT_ALL, CONF_CONTENT_SYSTEM, CONF_CONTENT_NON_SYSTEM };

#define CONF_C_STR        char *
#define CONF_C_NAME       char *
#define CONF_C_HOST       char *
#define CONF_C_DOMAIN     char *
#define CONF_C_SPACE      char *
#define CONF_C_MAILBOX    char *
#define CONF_C_ENDPOINT   char *
#define CONF_C_REDIS_URL  char *
#define CONF_C_DURABILITY char *
#define CONF_C_DELIVER    char *
#define CONF_C_KEY        char * /* a public key: 64 hexadecimal digits, lower case */
#define CONF_C_PATH       char *
#define CONF_C_SECRET     char * /* the value itself, read from the file that the key names */
#define CONF_C_LISTENS    struct conf_strs
#define CONF_C_TARGETS    struct conf_strs
#define CONF_C_RESOLVERS  struct conf_strs
#define CONF_C_IPS        struct conf_strs
#define CONF_C_SENDERS    struct conf_strs
#define CONF_C_PRIORITIES struct conf_strs
#define CONF_C_KEYWORDS   struct conf_strs
#define CONF_C_NAMES      struct conf_strs
#define CONF_C_KEYS       struct conf_strs
#define CONF_C_SIZE       uint64_t
#define CONF_C_MS         ms_t
#define CONF_C_UINT       uint64_t
#define CONF_C_BOOL       bool
#define CONF_C_NETS       struct conf_nets
#define CONF_C_MSLIST     struct conf_mslist

#define CONF_V_(member, type, key, def, lo, hi, when, help) CONF_C_##type member;
#define CONF_E_(member, key, def, words, when, help)        int member;
#define CONF_S_(member, section, key, help)                 struct conf_##section member;
#define CONF_L_(member, section, key, max, help)                                                             \
    struct {                                                                                                 \
        struct conf_##section *items;                                                                        \
        size_t count;                                                                                        \
    } member;
#define CONF_STRUCT_(section, LIST)                                                                          \
    struct conf_##section {                                                                                  \
        LIST(CONF_V_, CONF_E_, CONF_S_, CONF_L_)                                                             \
    };
CONF_SECTIONS(CONF_STRUCT_)

struct config; /* a snapshot */

/* Reads the file, applies BRIDGEHEAD_… environment overrides (env may be NULL), checks ranges and
 * cross-references. ERR_NOTFOUND, ERR_CONFIG with "file:line: key: what is wrong; what to do". All
 * problems found are appended to `problems`, one per line, when it is not NULL. */
enum err config_load(const char *path, char *const *env, struct config **ret, struct buf *problems,
                     struct errctx *ec) MUST_USE;
/* The same, and remembers where each value stands: for `config check`. */
enum err config_load_marked(const char *path, char *const *env, struct config **ret, struct buf *problems,
                            struct errctx *ec) MUST_USE;
/* The line of a field of config_root(); 0: it kept its default, comes from the environment, or nothing was
 * remembered. */
unsigned config_line(const struct config *c, const void *field);
/* The same from memory; base_dir, an absolute directory, is where relative paths begin. */
enum err config_parse(struct span yaml, const char *name, const char *base_dir, char *const *env,
                      struct config **ret, struct buf *problems, struct errctx *ec) MUST_USE;
const struct conf_root *config_root(const struct config *c);
/* Nothing but blanks was in the file: all defaults, and hardly what is meant where something was before. */
bool config_is_empty(const struct config *c);
struct config *config_ref(struct config *c);
void config_unref(struct config *c); /* NULL is a no-op */

/* Names, one per line, the keys whose change needs a restart; empty when all can be applied. */
enum err config_restart_needed(const struct config *running, const struct config *wanted,
                               struct buf *ret_keys) MUST_USE;
/* Effective settings as YAML that loads again, or as JSON (sizes in bytes); of a secret the name of its
 * file. The JSON schema; docs/settings.md. */
enum err config_show(const struct config *c, struct buf *out) MUST_USE;
enum err config_show_json(const struct config *c, struct buf *out) MUST_USE;
enum err config_schema(struct buf *out) MUST_USE;
enum err config_docs(struct buf *out) MUST_USE;
