/* Between a process and libc: the n-th call that changes files under a prefix fails, the wall clock leaps, a tensor finds no memory.

   Loaded with LD_PRELOAD it does nothing until a forked child arms it: a whole process tree may carry it. What Python, SQLite, torch
   and safetensors write passes here, since all of them call libc's functions by name. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { OFF, ONCE, FROM, SHORT, KILL };     /* fail this one; this one and all later; half of this one, then all; die before it */

static char prefix[4096];
static int told = -1;                      /* where each call is noted, a line each */
static size_t prefix_length;
static long at, seen;
static int mode = OFF, failing;
static long long leap;                     /* seconds added to the wall clock */
static long starve_at, asked;              /* the tensor from which on there is no memory; 0: there always is */
static int starve_mode;

#define REAL(returns, function, ...) \
    static returns (*real)(__VA_ARGS__); \
    if (!real) real = (returns (*)(__VA_ARGS__))dlsym(RTLD_NEXT, #function)

void faults_arm(const char *under, long number, int how, int error, int log) {
    strncpy(prefix, under, sizeof prefix - 1);
    prefix_length = strlen(prefix);
    at = number, mode = how, failing = error, seen = 0, told = log;
}
void faults_leap(long long seconds) { leap = seconds; }
void faults_starve(long number, int how) { starve_at = number, starve_mode = how, asked = 0; }

/* torch has the memory of its CPU tensors from here alone. */
int posix_memalign(void **into, size_t alignment, size_t size) {
    REAL(int, posix_memalign, void **, size_t, size_t);
    if (starve_at) {
        long now = __sync_add_and_fetch(&asked, 1);
        if (now == starve_at || (starve_mode == FROM && now > starve_at)) return ENOMEM;
    }
    return real(into, alignment, size);
}

static int under(const char *path) { return mode != OFF && path && !strncmp(path, prefix, prefix_length); }

static int of_descriptor(int descriptor, char *path, size_t size) {
    char link[64];
    path[0] = 0;
    if (mode == OFF) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t length = readlink(link, path, size - 1);
    if (length <= 0) return 0;
    path[length] = 0;
    return under(path);
}

/* Whether this call fails: 0 no, 1 yes, 2 only its second half. */
static int hit(const char *call, const char *path) {
    long now = __sync_add_and_fetch(&seen, 1);
    if (told >= 0 && (now == at || !at)) dprintf(told, "%s %s\n", call, path[prefix_length] ? path + prefix_length + 1 : ".");
    if (mode == KILL && now == at) kill(getpid(), SIGKILL);
    if (mode == SHORT && now == at) return 2;
    if (((mode == ONCE && now == at) || ((mode == FROM || mode == SHORT) && now >= at))) { errno = failing; return 1; }
    return 0;
}

#define ON_DESCRIPTOR(call, descriptor) \
    char path[4096]; int fate = of_descriptor(descriptor, path, sizeof path) ? hit(call, path) : 0; \
    if (fate == 1) return -1
#define ON_PATH(call, path) if (under(path) && hit(call, path) == 1) return -1

ssize_t write(int descriptor, const void *from, size_t count) {
    REAL(ssize_t, write, int, const void *, size_t);
    ON_DESCRIPTOR("write", descriptor);
    return real(descriptor, from, fate == 2 && count > 1 ? count / 2 : count);
}
#define PWRITE(function, offset_type) \
    ssize_t function(int descriptor, const void *from, size_t count, offset_type offset) { \
        REAL(ssize_t, function, int, const void *, size_t, offset_type); \
        ON_DESCRIPTOR("pwrite", descriptor); \
        return real(descriptor, from, fate == 2 && count > 1 ? count / 2 : count, offset); \
    }
PWRITE(pwrite, off_t)
PWRITE(pwrite64, off64_t)

ssize_t writev(int descriptor, const struct iovec *parts, int count) {
    REAL(ssize_t, writev, int, const struct iovec *, int);
    ON_DESCRIPTOR("writev", descriptor);
    (void)fate;
    return real(descriptor, parts, count);
}
#define TRUNCATE(function, offset_type) \
    int function(int descriptor, offset_type length) { \
        struct stat now; \
        REAL(int, function, int, offset_type); \
        if (!fstat(descriptor, &now) && length > now.st_size) { ON_DESCRIPTOR("grow", descriptor); (void)fate; } \
        return real(descriptor, length); \
    }
TRUNCATE(ftruncate, off_t)
TRUNCATE(ftruncate64, off64_t)

#define SYNC(function) \
    int function(int descriptor) { \
        REAL(int, function, int); \
        ON_DESCRIPTOR(#function, descriptor); \
        /* No power is cut here: what the kernel has is as good as on the disk, and most of the time of a trial is saved. */ \
        if (mode != OFF && under(path)) { (void)fate; return 0; } \
        return real(descriptor); \
    }
SYNC(fsync)
SYNC(fdatasync)

#define OPEN(function) \
    int function(const char *path, int flags, ...) { \
        mode_t permissions = 0; \
        if (flags & (O_CREAT | O_TMPFILE)) { va_list rest; va_start(rest, flags); permissions = va_arg(rest, mode_t); va_end(rest); } \
        REAL(int, function, const char *, int, ...); \
        if ((flags & O_CREAT) && access(path, F_OK)) ON_PATH("create", path); \
        return real(path, flags, permissions); \
    }
OPEN(open)
OPEN(open64)

#define OPENAT(function) \
    int function(int folder, const char *path, int flags, ...) { \
        mode_t permissions = 0; \
        if (flags & (O_CREAT | O_TMPFILE)) { va_list rest; va_start(rest, flags); permissions = va_arg(rest, mode_t); va_end(rest); } \
        REAL(int, function, int, const char *, int, ...); \
        if ((flags & O_CREAT) && faccessat(folder, path, F_OK, 0)) ON_PATH("create", path); \
        return real(folder, path, flags, permissions); \
    }
OPENAT(openat)
OPENAT(openat64)

int rename(const char *from, const char *to) {
    REAL(int, rename, const char *, const char *);
    ON_PATH("rename", to);
    return real(from, to);
}
int renameat2(int from_folder, const char *from, int to_folder, const char *to, unsigned flags) {
    REAL(int, renameat2, int, const char *, int, const char *, unsigned);
    ON_PATH("rename", to);
    return real(from_folder, from, to_folder, to, flags);
}
int link(const char *from, const char *to) {
    REAL(int, link, const char *, const char *);
    ON_PATH("link", to);
    return real(from, to);
}
int mkdir(const char *path, mode_t permissions) {
    REAL(int, mkdir, const char *, mode_t);
    ON_PATH("mkdir", path);
    return real(path, permissions);
}

int clock_gettime(clockid_t clock, struct timespec *into) {
    REAL(int, clock_gettime, clockid_t, struct timespec *);
    int result = real(clock, into);
    if (!result && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) into->tv_sec += leap;
    return result;
}
int gettimeofday(struct timeval *into, void *zone) {
    REAL(int, gettimeofday, struct timeval *, void *);
    int result = real(into, zone);
    if (!result) into->tv_sec += leap;
    return result;
}
time_t time(time_t *into) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (into) *into = now.tv_sec;
    return now.tv_sec;
}
