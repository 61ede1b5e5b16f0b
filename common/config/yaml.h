/* common/config/yaml.h — a YAML document as a tree whose every node knows its line.
 *
 * Bounded: bytes, nodes, depth and anchors have limits. An alias shares the node of its anchor, so
 * aliases cost no memory here; who walks the tree bounds his steps. Explicit tags, complex keys and
 * further documents are refused: bridgehead.yaml needs none of them.
 * Lifetimes: nodes live in the arena. Only this module includes <yaml.h>. */
#pragma once
#include "common/config/arena.h"
#include "common/err.h"
#include "common/span.h"

enum { YAML_BYTES_MAX = 16 << 20, YAML_NODES_MAX = 2 << 20, YAML_DEPTH_MAX = 32, YAML_ANCHORS_MAX = 256 };

enum yaml_kind { YAML_SCALAR, YAML_SEQUENCE, YAML_MAPPING };
struct yaml_node {
    enum yaml_kind kind;
    bool plain;               /* scalar without quotes */
    unsigned line;            /* from 1 */
    const char *env;          /* the environment variable that put it there, or NULL */
    struct span text;         /* scalar; NUL-terminated */
    struct yaml_node **items; /* of a mapping: key, value, key, value, ... */
    size_t count;
};

/* *ret is NULL for an empty document. ERR_NOMEM, ERR_TOOBIG, ERR_PARSE; *ret_line: where, 0: nowhere. */
enum err yaml_parse(struct span text, struct arena *mem, struct yaml_node **ret, unsigned *ret_line,
                    struct errctx *ec) MUST_USE;
/* Empty, "~" and "null" without quotes: as if the key were not there. */
bool yaml_is_null(const struct yaml_node *n);
/* Appends to a sequence or mapping. ERR_NOMEM. */
enum err yaml_append(struct arena *mem, struct yaml_node *parent, struct yaml_node *item) MUST_USE;
