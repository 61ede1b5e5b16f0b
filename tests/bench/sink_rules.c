#include <stdlib.h>
#include <string.h>

#include "tests/bench/smtp_sink.h"

static const char *const phase_names[PHASE_COUNT] = {
    [PHASE_CONNECT] = "connect", [PHASE_EHLO] = "ehlo", [PHASE_MAIL] = "mail",
    [PHASE_RCPT] = "rcpt",       [PHASE_DATA] = "data", [PHASE_DOT] = "dot",
};

/* Copies up to the next ':' and moves past it; false if it does not fit. */
static bool field(const char **text, char *out, size_t size)
{
    size_t len = strcspn(*text, ":");
    if (len >= size)
        return false;
    memcpy(out, *text, len);
    out[len] = '\0';
    *text += len + ((*text)[len] == ':');
    return true;
}

static bool parse_action(struct rule *rule, const char *text)
{
    char *end;
    if (strcmp(text, "drop") == 0) {
        rule->action = ACT_DROP;
    } else if (strcmp(text, "reset") == 0) {
        rule->action = ACT_RESET;
    } else if (strncmp(text, "delay=", 6) == 0) {
        long ms = strtol(text + 6, &end, 10);
        if (end == text + 6 || *end != '\0' || ms < 0 || ms > 3600000)
            return false;
        rule->action = ACT_DELAY;
        rule->delay_ms = (int)ms;
    } else {
        if (strspn(text, "0123456789") != 3 || text[0] < '2' || text[0] > '5')
            return false;
        rule->action = ACT_REPLY;
        /* A bare code gets a text, with the enhanced code that fits its class (RFC 3463). */
        if (text[3] == '\0')
            snprintf(rule->reply, sizeof(rule->reply), "%s %c.0.0 as the test wants it\r\n", text, text[0]);
        else
            snprintf(rule->reply, sizeof(rule->reply), "%.500s\r\n", text);
    }
    return true;
}

bool rules_add(struct rules *rules, const char *text)
{
    struct rule rule = {.probability = 1};
    char name[16], action[REPLY_MAX - 2], probability[32];
    if (rules->count == RULES_MAX || !field(&text, name, sizeof(name)) ||
        !field(&text, action, sizeof(action)) || !field(&text, probability, sizeof(probability)) ||
        !field(&text, rule.match, sizeof(rule.match)))
        return false;
    while (rule.phase < PHASE_COUNT && strcmp(name, phase_names[rule.phase]) != 0)
        rule.phase++;
    if (rule.phase == PHASE_COUNT || !parse_action(&rule, action))
        return false;
    if (probability[0] != '\0') {
        char *end;
        rule.probability = strtod(probability, &end);
        if (*end != '\0' || rule.probability < 0 || rule.probability > 1)
            return false;
    }
    rules->rule[rules->count++] = rule;
    return true;
}

const struct rule *rules_apply(struct rules *rules, enum phase phase, const char *text, int *ret_delay_ms)
{
    const struct rule *found = NULL;
    for (unsigned i = 0; i < rules->count; i++) {
        const struct rule *rule = &rules->rule[i];
        if (rule->phase != phase || (rule->match[0] != '\0' && strstr(text, rule->match) == NULL))
            continue;
        if (rule->probability < 1 && !draw_chance(&rules->random, rule->probability))
            continue;
        if (rule->action == ACT_DELAY)
            *ret_delay_ms += rule->delay_ms;
        else if (found == NULL)
            found = rule;
    }
    return found;
}
