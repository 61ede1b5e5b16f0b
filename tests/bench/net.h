/* tests/bench/net.h — sockets, time and random numbers of the load tools. They stand alone: what measures the
 * product must not share its bugs. Functions that cannot go on end the program with a message. */
#pragma once
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

_Noreturn void die(const char *format, ...) __attribute__((format(printf, 1, 2)));
void *must_alloc(void *old, size_t size); /* realloc() that never returns NULL for a size > 0 */

int64_t now_us(void); /* CLOCK_MONOTONIC */

/* xorshift64*: reproducible from the seed. */
uint64_t draw(uint64_t *state);
bool draw_chance(uint64_t *state, double probability);

/* "a.b.c.d:port"; dies on anything else. */
struct sockaddr_in net_address(const char *text);
/* Text of an address, "a.b.c.d:port", into one of four static buffers. */
const char *net_text(const struct sockaddr_in *address);

int net_bind(
    struct sockaddr_in *address,
    const char *device); /* not yet listening, non-blocking; the port is filled in; device: "lo" or NULL */
int net_connect(const struct sockaddr_in *to, const struct in_addr *from); /* non-blocking; -1: errno */
int net_unix_listen(const char *path);

void net_raise_file_limit(void); /* to the hard limit */

/* Numbers of a command line: dies unless the whole text is a number within [min, max]. */
uint64_t number(const char *option, const char *text, uint64_t min, uint64_t max);
