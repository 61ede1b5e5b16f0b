#include "node/session_impl.h"

#include <string.h>

/* Room for more replies: a client that does not read them is not read either. */
static bool may_read(const struct session *s)
{
    return session_want(s) == SESSION_READ && s->out.len < SESSION_OUTPUT_HIGH;
}

/* The one place where a command meets the rules that hold for every command. */
static enum reply_id check(const struct session *s, const struct verb *v, struct span args)
{
    bool offered = v->extension == 0 || (s->offered & v->extension) != 0;
    if (!offered)
        return REPLY_NOT_OFFERED;
    if (s->conf->vs->tls.required && !s->tls && !(v->flags & V_PRE_TLS))
        return REPLY_TLS_NEEDED;
    if (!(v->legal_in & 1u << s->state))
        return REPLY_SEQUENCE;
    if ((v->flags & V_NO_ARGS) && args.len > 0)
        return REPLY_NO_ARGS;
    return REPLY_NONE;
}

/* The walk through the verb table. An event sink of a command would be asked right before run(), and
 * told right after it: the handlers know nothing of sinks. */
static void dispatch(struct session *s, struct span line)
{
    struct span name, args;
    (void)span_cut(line, ' ', &name, &args);
    args = span_trim(args);
    const struct verb *v = verb_find(name);
    if (v == NULL) {
        session_refuse(s, REPLY_UNKNOWN, SPAN(""));
        return;
    }
    enum reply_id refusal = check(s, v, args);
    if (refusal == REPLY_NONE)
        v->run(s, args);
    else if (v->refuse != NULL)
        v->refuse(s, args, refusal);
    else
        session_refuse(s, refusal, SPAN(""));
    if ((v->flags & V_SYNC) && s->state != ST_CLOSED)
        s->violation = REPLY_SYNC; /* V3 */
}

/* RFC 5321 2.3.8: CR LF ends a line and neither stands alone; the rest of the controls has no use. */
static bool well_formed(struct span line)
{
    for (size_t i = 0; i < line.len; i++)
        if ((unsigned char)line.ptr[i] < 0x20 || line.ptr[i] == 0x7f)
            return false;
    return true;
}

static void command(struct session *s, struct span line)
{
    bool crlf = line.len >= 2 && line.ptr[line.len - 2] == '\r';
    line.len -= crlf ? 2 : 1;
    s->ops->event(s->arg, SESSION_COMMAND, REPLY_NONE, line);
    s->since_ms = s->now_ms;
    if (!crlf || !well_formed(line))
        session_refuse(s, REPLY_LINE_BYTES, SPAN(""));
    else
        dispatch(s, line);
}

/* Returns what was consumed: a whole line, nothing of an incomplete one, all of one too long. */
static size_t take_line(struct session *s, struct span in)
{
    size_t max = s->conf->vs->max_line_length, at;
    bool found = span_find(in, '\n', &at);
    if (!found && !s->skip_line && in.len < max)
        return 0;
    if (!found) {
        s->skip_line = true;
        return in.len;
    }
    if (s->skip_line || at + 1 > max) {
        s->skip_line = false;
        s->since_ms = s->now_ms;
        session_refuse(s, REPLY_LINE_LONG, SPAN(""));
    } else {
        command(s, span_first(in, at + 1));
    }
    return at + 1;
}

size_t session_feed(struct session *s, struct span in)
{
    size_t done = 0;
    if (in.len > 0)
        s->input_ms = s->now_ms;
    for (;;) {
        struct span rest = span_from(in, done);
        enum session_state before = s->state;
        if (rest.len > 0 && s->violation != REPLY_NONE)
            session_close(s, s->violation);
        if (s->state == ST_CLOSED || s->state == ST_TLS)
            return in.len; /* nobody reads it any more; RFC 3207 4.2 */
        if (!may_read(s))
            return done;
        bool body = s->state == ST_DATA || s->state == ST_CHUNK;
        size_t n = body ? session_body(s, rest) : take_line(s, rest);
        done += n;
        if (n == 0 && s->state == before)
            return done;
    }
}
