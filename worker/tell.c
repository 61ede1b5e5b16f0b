/* worker/tell.c — the router hears how each target of a connector answers; what it makes of that is its
 * affair. */
#include "worker/smtp_lane.h"

/* Whether a target of the configuration is the one that this lane talks to. */
static bool is_target(struct span configured, uint16_t port, const struct target *t)
{
    struct ip_endpoint at;
    struct span host, digits;
    uint64_t number = port;

    if (ip_endpoint_parse(configured, port, &at) == ERR_OK)
        return at.port == t->endpoint.port && ip_eq(&at.addr, &t->endpoint.addr);
    if (span_cut(configured, ':', &host, &digits) && !span_to_u64(digits, 65535, &number))
        return false;
    return number == t->endpoint.port && span_ieq(host, span_cstr(t->host));
}

void smtp_tell(const struct smtp_lane *s, bool ok, const char *text)
{
    const struct link *link = s->lane.link;
    const struct conf_connector *c = link->connector;
    const struct target *t = smtp_target(s);

    if (link->w->routing == NULL || c == NULL || t->unix_path != NULL)
        return;
    for (size_t i = 0; i < c->smart_hosts.count; i++) {
        struct routing_report report = {.connector = span_cstr(c->name),
                                        .target = span_cstr(c->smart_hosts.items[i]),
                                        .ok = ok,
                                        .text = span_cstr(text)};
        if (is_target(report.target, link->spec.port, t)) {
            routing_report_send(link->w->routing, &report);
            return;
        }
    }
}
