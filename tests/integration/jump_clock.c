/* tests/integration/jump_clock.c — LD_PRELOAD: the clocks of one program jump when a test says so.
 *
 * JUMP_CLOCK names a file of two numbers of 8 bytes, host order: milliseconds by which the wall clock, and
 * the monotonic one, are ahead. Read at each call, so that a jump comes between two of them. */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

int clock_gettime(clockid_t which, struct timespec *ret);

static const volatile int64_t *ahead(void)
{
    static const int64_t nothing[2];
    static const volatile int64_t *numbers;
    if (numbers != NULL)
        return numbers;
    const char *path = getenv("JUMP_CLOCK");
    int fd = path != NULL ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    void *at = fd >= 0 ? mmap(NULL, sizeof nothing, PROT_READ, MAP_SHARED, fd, 0) : MAP_FAILED;
    if (fd >= 0)
        (void)close(fd);
    numbers = at != MAP_FAILED ? at : nothing;
    return numbers;
}

int clock_gettime(clockid_t which, struct timespec *ret)
{
    static int (*real)(clockid_t, struct timespec *);
    if (real == NULL) {
        void *found = dlsym(RTLD_NEXT, "clock_gettime");
        memcpy(&real, &found, sizeof real);
    }
    int rc = real(which, ret);
    bool wall = which == CLOCK_REALTIME || which == CLOCK_REALTIME_COARSE;
    bool mono = which == CLOCK_MONOTONIC || which == CLOCK_MONOTONIC_COARSE || which == CLOCK_BOOTTIME;
    if (rc == 0 && (wall || mono)) {
        int64_t ms = ahead()[wall ? 0 : 1];
        ret->tv_sec += ms / 1000;
        ret->tv_nsec += ms % 1000 * 1000000;
        if (ret->tv_nsec < 0 || ret->tv_nsec >= 1000000000) {
            ret->tv_sec += ret->tv_nsec < 0 ? -1 : 1;
            ret->tv_nsec += ret->tv_nsec < 0 ? 1000000000 : -1000000000;
        }
    }
    return rc;
}
