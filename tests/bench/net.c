#include "tests/bench/net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

void die(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fprintf(stderr, "%s: ", program_invocation_short_name);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    exit(2);
}

void *must_alloc(void *old, size_t size)
{
    void *p = realloc(old, size);
    if (p == NULL)
        die("out of memory");
    return p;
}

int64_t now_us(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

uint64_t draw(uint64_t *state)
{
    uint64_t x = *state != 0 ? *state : UINT64_C(0x9e3779b97f4a7c15);
    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    *state = x;
    return x * UINT64_C(0x2545f4914f6cdd1d);
}

bool draw_chance(uint64_t *state, double probability)
{
    return (double)(draw(state) >> 11) < probability * 9007199254740992.0; /* 2^53 */
}

struct sockaddr_in net_address(const char *text)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    char host[64];
    const char *colon = strrchr(text, ':');
    if (colon == NULL || (size_t)(colon - text) >= sizeof(host))
        die("%s: not an address (expected a.b.c.d:port)", text);
    memcpy(host, text, (size_t)(colon - text));
    host[colon - text] = '\0';
    if (inet_pton(AF_INET, host, &address.sin_addr) != 1)
        die("%s: not an address (expected a.b.c.d:port)", text);
    address.sin_port = htons((uint16_t)number("port", colon + 1, 0, 65535));
    return address;
}

const char *net_text(const struct sockaddr_in *address)
{
    static char texts[4][INET_ADDRSTRLEN + 8];
    static unsigned turn;
    char *text = texts[turn++ % 4];
    char host[INET_ADDRSTRLEN];
    inet_ntop(AF_INET, &address->sin_addr, host, sizeof(host));
    snprintf(text, sizeof(texts[0]), "%s:%u", host, ntohs(address->sin_port));
    return text;
}

int net_bind(struct sockaddr_in *address, const char *device)
{
    int on = 1;
    socklen_t len = sizeof(*address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        die("socket: %s", strerror(errno));
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)); /* inherited by what it accepts */
    if (device != NULL && setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, device, (socklen_t)strlen(device)) != 0)
        die("device %s: %s", device, strerror(errno));
    if (bind(fd, (struct sockaddr *)address, sizeof(*address)) != 0)
        die("bind %s: %s", net_text(address), strerror(errno));
    if (getsockname(fd, (struct sockaddr *)address, &len) != 0)
        die("getsockname: %s", strerror(errno));
    return fd;
}

int net_connect(const struct sockaddr_in *to, const struct in_addr *from)
{
    int on = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (from->s_addr != htonl(INADDR_ANY)) {
        struct sockaddr_in source = {.sin_family = AF_INET, .sin_addr = *from};
        /* The port is chosen at connect(), so that sources are not limited by ports in use. */
        setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
        if (bind(fd, (struct sockaddr *)&source, sizeof(source)) != 0)
            die("bind %s: %s", net_text(&source), strerror(errno));
    }
    if (connect(fd, (const struct sockaddr *)to, sizeof(*to)) == 0 || errno == EINPROGRESS) {
        int off = 0; /* the command behind a greeting acknowledges it: no segment for that alone */
        setsockopt(fd, IPPROTO_TCP, TCP_QUICKACK, &off, sizeof(off));
        return fd;
    }
    int saved = errno;
    close(fd);
    errno = saved;
    return -1;
}

int net_unix_listen(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof(address.sun_path))
        die("%s: too long for a unix socket", path);
    memcpy(address.sun_path, path, strlen(path) + 1);
    unlink(path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) != 0 || listen(fd, 16) != 0)
        die("%s: %s", path, strerror(errno));
    return fd;
}

void net_raise_file_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

uint64_t number(const char *option, const char *text, uint64_t min, uint64_t max)
{
    char *end;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    if (*text < '0' || *text > '9' || *end != '\0' || errno != 0 || value < min || value > max)
        die("%s: '%s' is not a number between %llu and %llu", option, text, (unsigned long long)min,
            (unsigned long long)max);
    return value;
}
