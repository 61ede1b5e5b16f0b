/* common/log.h — one line per fact on stderr, key=value or JSON, the message id first.
 *
 * Functions below node/, worker/, router/ and cli/ return errors, they do not log. Text that came
 * from the network goes last, in single quotes, through LOG_TEXT/log_text: it can forge neither a
 * field nor a line: what is not printable ASCII, and ' and \, is "\xNN" there, octet by octet.
 *
 * JSON lines are ASCII and UTF-8, and a value holds the text itself. JSON's \uNNNN stands for control
 * characters and for those that change the direction or the lines of a text (U+061C, U+200E/F, U+2028-202E,
 * U+2066-2069, U+FEFF); the four characters \xNN, after JSON's own escapes, for an octet that is not of UTF-8
 * (RFC 3629: nothing overlong, no surrogates) or of a C1 control, and \x5c for a \ that might be taken for
 * the beginning of one. Threads: log_write may be called from any thread; a line is part of one
 * write(2). */
#pragma once
#include "common/attr.h"
#include "common/span.h"

enum log_level { LOG_LEVEL_DEBUG, LOG_LEVEL_INFO, LOG_LEVEL_WARN, LOG_LEVEL_ERROR };
enum log_format { LOG_FORMAT_TEXT, LOG_FORMAT_JSON };

/* Before other threads start; afterwards only the threshold may change. */
void log_setup(enum log_level threshold, enum log_format format, const char *program);
void log_set_threshold(enum log_level threshold);
bool log_enabled(enum log_level lvl);

/* fmt describes "key=value key='text'" pairs; values without blanks, or in single quotes. */
void log_write(enum log_level lvl, const char *event, const char *fmt, ...) PRINTF(3, 4);

/* While a thread holds them, its lines leave together: with log_flush(), with the next warning or error, or
 * when there are many. A loop holds them during a turn and flushes before anything is sent to anybody. */
void log_hold(bool holding);
void log_flush(void);

#define LOG_AT(lvl, event, ...)                                                                              \
    do {                                                                                                     \
        if (log_enabled(lvl))                                                                                \
            log_write((lvl), (event), __VA_ARGS__);                                                          \
    } while (0)
#define log_debug(event, ...) LOG_AT(LOG_LEVEL_DEBUG, event, __VA_ARGS__)
#define log_info(event, ...)  LOG_AT(LOG_LEVEL_INFO, event, __VA_ARGS__)
#define log_warn(event, ...)  LOG_AT(LOG_LEVEL_WARN, event, __VA_ARGS__)
#define log_error(event, ...) LOG_AT(LOG_LEVEL_ERROR, event, __VA_ARGS__)
/* log_info("smtp.accepted", "msg=%s size=%zu text=%s", id, n, log_text(&t, reply)); */

/* Quoted, escaped, cut to the size of the scratch: the only way for foreign text into a line. */
struct log_scratch {
    char text[384];
};
const char *log_text(struct log_scratch *scratch, struct span foreign);
