/* Wall-clock time that a file shifts, for programs started with LD_PRELOAD: what `date` says moves, what a wait takes does not.
 *
 * The file SOAK_CLOCK holds one 64-bit integer, the shift in seconds; it is mapped, so a change is seen at once by every
 * process. Deadlines by the wall clock are shifted back before the kernel sees them.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define NEAR 86400 /* a deadline less than a day from the shifted clock was computed from it */

static const volatile int64_t none = 0;
static const volatile int64_t *shift = &none;
static int (*real_clock_gettime)(clockid_t, struct timespec *);

__attribute__((constructor)) static void attach(void) {
    real_clock_gettime = dlsym(RTLD_NEXT, "clock_gettime");
    const char *path = getenv("SOAK_CLOCK");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0) return;
    void *mapped = mmap(NULL, sizeof(int64_t), PROT_READ, MAP_SHARED, file, 0);
    close(file);
    if (mapped != MAP_FAILED) shift = mapped;
}

static int is_wall(clockid_t clock) { return clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE; }

int clock_gettime(clockid_t clock, struct timespec *at) {
    if (!real_clock_gettime) real_clock_gettime = dlsym(RTLD_NEXT, "clock_gettime");
    int result = real_clock_gettime(clock, at);
    if (result == 0 && is_wall(clock)) at->tv_sec += *shift;
    return result;
}

int gettimeofday(struct timeval *restrict at, void *restrict zone) {
    struct timespec now;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &now);
    at->tv_sec = now.tv_sec;
    at->tv_usec = now.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *at) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (at) *at = now.tv_sec;
    return now.tv_sec;
}

/* The deadline as the kernel has to see it: shifted back if it is near the shifted clock, else as it is (another clock's). */
static struct timespec unshifted(const struct timespec *deadline) {
    struct timespec result = *deadline, now;
    clock_gettime(CLOCK_REALTIME, &now);
    int64_t away = (int64_t)deadline->tv_sec - (int64_t)now.tv_sec;
    if (*shift != 0 && away > -NEAR && away < NEAR) result.tv_sec -= *shift;
    return result;
}

int pthread_cond_timedwait(pthread_cond_t *condition, pthread_mutex_t *mutex, const struct timespec *deadline) {
    static int (*real)(pthread_cond_t *, pthread_mutex_t *, const struct timespec *);
    if (!real) real = dlvsym(RTLD_NEXT, "pthread_cond_timedwait", "GLIBC_2.3.2");
    struct timespec at = unshifted(deadline);
    return real(condition, mutex, &at);
}

int sem_timedwait(sem_t *semaphore, const struct timespec *deadline) {
    static int (*real)(sem_t *, const struct timespec *);
    if (!real) real = dlsym(RTLD_NEXT, "sem_timedwait");
    struct timespec at = unshifted(deadline);
    return real(semaphore, &at);
}

long syscall(long number, ...) {
    static long (*real)(long, ...);
    if (!real) real = dlsym(RTLD_NEXT, "syscall");
    long a[6];
    va_list list;
    va_start(list, number);
    for (int i = 0; i < 6; i++) a[i] = va_arg(list, long);
    va_end(list);
    struct timespec at;
    int is_deadline = number == SYS_futex && (a[1] & FUTEX_CLOCK_REALTIME) && a[3];
    if (is_deadline) {
        at = unshifted((const struct timespec *)a[3]);
        a[3] = (long)&at;
    }
    return real(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}
