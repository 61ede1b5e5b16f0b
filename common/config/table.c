#include "common/config/table.h"

#include <stdio.h>

/* clang-format off */
#define ROW_V_(member_, type_, key_, def_, lo_, hi_, when_, help_) \
    {.kind = ROW_VALUE, .key = key_, .help = help_, .offset = offsetof(self_, member_), .type = &conf_type_##type_, \
     .def = def_, .lo = lo_, .hi = hi_, .when = CONF_WHEN_##when_},
#define ROW_E_(member_, key_, def_, words_, when_, help_) \
    {.kind = ROW_ENUM, .key = key_, .help = help_, .offset = offsetof(self_, member_), .def = def_, .words = words_, \
     .when = CONF_WHEN_##when_},
#define ROW_S_(member_, section_, key_, help_) \
    {.kind = ROW_SECTION, .key = key_, .help = help_, .offset = offsetof(self_, member_), .sub = &conf_section_##section_},
#define ROW_L_(member_, section_, key_, max_, help_) \
    {.kind = ROW_LIST, .key = key_, .help = help_, .offset = offsetof(self_, member_), .hi = max_, \
     .sub = &conf_section_##section_},
/* clang-format on */

/* offsetof needs the name of the struct, which a list macro does not know: each table stands in a
 * function of its own, where self_ means its struct. */
#define SECTION_(section, LIST)                                                                              \
    static const struct conf_row *rows_##section(size_t *ret_n)                                              \
    {                                                                                                        \
        typedef struct conf_##section self_;                                                                 \
        static const struct conf_row rows[] = {LIST(ROW_V_, ROW_E_, ROW_S_, ROW_L_)};                        \
        *ret_n = ARRAY_LEN(rows);                                                                            \
        return rows;                                                                                         \
    }                                                                                                        \
    const struct conf_section conf_section_##section = {#section, sizeof(struct conf_##section),             \
                                                        rows_##section};
#define DECLARE_(section, LIST) extern const struct conf_section conf_section_##section;
CONF_SECTIONS(DECLARE_)
CONF_SECTIONS(SECTION_)

/* Lists are reached through struct conf_list whatever their items are. */
_Static_assert(sizeof(struct conf_list) == sizeof(((struct conf_root *)NULL)->connectors), "list layout");
_Static_assert(sizeof(struct conf_list) == sizeof(struct conf_strs), "list layout");

const char *conf_when_text(enum conf_when when)
{
    static const char *const texts[] = {"reload", "restart", "reload; set or emptied: restart"};
    return texts[when];
}

bool conf_word(const char *words, size_t i, struct span *ret)
{
    struct span rest = span_cstr(words), word;
    bool more = true;
    for (; more; i--) {
        more = span_cut(rest, '|', &word, &rest);
        if (i == 0) {
            *ret = word;
            return true;
        }
    }
    return false;
}
