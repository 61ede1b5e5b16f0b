#include "common/io/notify.h"

#include "common/span.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

void notify_send(const char *state)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    size_t len = path == NULL ? 0 : strlen(path);
    if (len < 2 || len >= sizeof un.sun_path || (path[0] != '/' && path[0] != '@'))
        return;
    memcpy(un.sun_path, path, len);
    if (path[0] == '@') /* the abstract namespace, unix(7) */
        un.sun_path[0] = '\0';
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
    (void)!sendto(fd, state, strlen(state), MSG_NOSIGNAL | MSG_DONTWAIT, (struct sockaddr *)&un, size);
    close(fd);
}

ms_t notify_watchdog_ms(void)
{
    const char *limit = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");
    uint64_t usec, whose;
    if (!span_to_u64(span_cstr(limit), UINT64_MAX, &usec))
        return 0;
    if (pid != NULL && (!span_to_u64(span_cstr(pid), UINT64_MAX, &whose) || whose != (uint64_t)getpid()))
        return 0;
    return usec / 2000 == 0 ? 1 : usec / 2000; /* twice as often as asked for */
}
