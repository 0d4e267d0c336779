/* Faults below the C library, for LD_PRELOAD: another wall clock, and disk calls that stall or fail.

   What is to happen stands in a small shared file, $QD_SHIM, so that a test changes it while a program runs:
   clock_offset (nanoseconds that the wall clock is off), stall (milliseconds that each disk call takes longer),
   error (what disk calls fail with), left (how often; -1: always). Disk calls are pwrite, splice to a file, fsync and
   fdatasync. The monotonic clock is left alone. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

struct plan { int64_t clock_offset, stall, error, left, calls, sync_error, sync_left; };
static struct plan nothing, *plan = &nothing;

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("QD_SHIM");
    int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (fd < 0) return;
    void *place = mmap(0, sizeof *plan, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (place != MAP_FAILED) plan = place;
    close(fd);
}

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

int clock_gettime(clockid_t clock, struct timespec *now) {
    static __typeof__(&clock_gettime) next;
    if (!next) next = NEXT(clock_gettime);
    int result = next(clock, now);
    if (!result && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE) && plan->clock_offset) {
        int64_t all = now->tv_sec * 1000000000LL + now->tv_nsec + plan->clock_offset;
        now->tv_sec = all / 1000000000LL;
        now->tv_nsec = all % 1000000000LL;
    }
    return result;
}

time_t time(time_t *out) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (out) *out = now.tv_sec;
    return now.tv_sec;
}

int gettimeofday(struct timeval *out, void *zone) {
    struct timespec now;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &now);
    out->tv_sec = now.tv_sec;
    out->tv_usec = now.tv_nsec / 1000;
    return 0;
}

static int regular(int fd) {
    struct stat about;
    return !fstat(fd, &about) && S_ISREG(about.st_mode);
}

static int fails(int fd) {
    if (!regular(fd)) return 0;
    plan->calls++;
    if (plan->stall) {
        struct timespec wait = {plan->stall / 1000, plan->stall % 1000 * 1000000};
        nanosleep(&wait, 0);
    }
    if (!plan->left) return 0;
    if (plan->left > 0) plan->left--;
    errno = (int)plan->error;
    return 1;
}

static int sync_fails(int fd) {
    if (fails(fd)) return 1;
    if (!plan->sync_left) return 0;
    if (plan->sync_left > 0) plan->sync_left--;
    errno = (int)plan->sync_error;
    return 1;
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t at) {
    return fails(fd) ? -1 : NEXT(pwrite)(fd, data, size, at);
}

ssize_t pwrite64(int fd, const void *data, size_t size, off64_t at) {
    return fails(fd) ? -1 : NEXT(pwrite64)(fd, data, size, at);
}

ssize_t splice(int in, off64_t *from, int out, off64_t *to, size_t size, unsigned flags) {
    return fails(out) ? -1 : NEXT(splice)(in, from, out, to, size, flags);
}

int fsync(int fd) { return sync_fails(fd) ? -1 : NEXT(fsync)(fd); }

int fdatasync(int fd) { return sync_fails(fd) ? -1 : NEXT(fdatasync)(fd); }
