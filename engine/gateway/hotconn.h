/* System calls and clocks of the hot loop's modules, where C says it shorter. */
#ifndef TICKMAKER_HOTCONN_H
#define TICKMAKER_HOTCONN_H

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#if defined(__x86_64__) || defined(__i386__)
#include <x86intrin.h>
#define HS_HAS_TSC 1
static inline uint64_t hs_ticks(void) { return __rdtsc(); }
#else
#define HS_HAS_TSC 0
static inline uint64_t hs_ticks(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}
#endif

static inline int64_t hs_clock_ns(clockid_t clock) {
    struct timespec t;
    clock_gettime(clock, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* Time as the simulator tells it; the clocks are read while it tells none. Each module that
   includes this has a copy of its own: set_virtual_time() of hotsocket.pyx sets them all. The
   branch is always predicted and its word shares a line with nothing that is written: beside the
   20 ns of a clock read it costs nothing that the benches can show. */
static struct { int64_t is_set, monotonic_ns, wall_ns; } hs_virtual;

static inline void hs_set_virtual(int64_t monotonic_ns, int64_t wall_ns) {
    hs_virtual.monotonic_ns = monotonic_ns;
    hs_virtual.wall_ns = wall_ns;
    hs_virtual.is_set = monotonic_ns != 0;
}
static inline int hs_is_virtual(void) { return __builtin_expect(hs_virtual.is_set != 0, 0); }
static inline int64_t hs_monotonic_ns(void) {
    return hs_is_virtual() ? hs_virtual.monotonic_ns : hs_clock_ns(CLOCK_MONOTONIC);
}
static inline int64_t hs_wall_ns(void) {
    return hs_is_virtual() ? hs_virtual.wall_ns : hs_clock_ns(CLOCK_REALTIME);
}

/* One non-blocking look at what has arrived; hs_discard() takes it out of the socket. Taking it
   out makes the kernel send an acknowledgement before the call returns (3.3 us on loopback,
   0.7 us without), and on a connection that only we read from nothing else carries it: so look,
   act, and take it out when the orders are away. *stamp_ns: wall time at which the kernel took the
   last segment in hand, or 0. Returns what recvmsg returns. */
static inline int64_t hs_peek(int fd, void *to, int64_t room, int64_t *stamp_ns) {
    struct iovec part = {to, (size_t)room};
    union { char bytes[128]; struct cmsghdr align; } control;
    struct msghdr message;
    memset(&message, 0, sizeof message);
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control.bytes;
    message.msg_controllen = sizeof control.bytes;
    *stamp_ns = 0;
    ssize_t size = recvmsg(fd, &message, MSG_DONTWAIT | MSG_PEEK);
    if (size <= 0)
        return size;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&message); c; c = CMSG_NXTHDR(&message, c))
        if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_TIMESTAMPNS) {
            struct timespec t;
            memcpy(&t, CMSG_DATA(c), sizeof t);
            *stamp_ns = (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
        }
    return size;
}

/* What the simulator's socket pairs (AF_UNIX) need, which know no MSG_TRUNC. */
static int64_t hs_discard_by_copy(int fd, int64_t size) {
    char scrap[65536];
    int64_t done = 0;
    while (done < size) {
        size_t left = (size_t)(size - done);
        ssize_t got = recv(fd, scrap, left < sizeof scrap ? left : sizeof scrap, MSG_DONTWAIT);
        if (got <= 0)
            break;
        done += got;
    }
    return done;
}

/* Drop `size` bytes that hs_peek() saw, without a copy (tcp(7), MSG_TRUNC). Returns how many. */
static inline int64_t hs_discard(int fd, int64_t size) {
    if (hs_is_virtual())
        return hs_discard_by_copy(fd, size);
    return recv(fd, NULL, (size_t)size, MSG_DONTWAIT | MSG_TRUNC);
}

static inline int64_t hs_send(int fd, const void *data, int64_t size) {
    return send(fd, data, (size_t)size, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* Whether send() would take something (or fail): what is encrypted can't be taken back, so TLS
   asks before. */
static inline int hs_can_send(int fd) {
    struct pollfd one = {fd, POLLOUT, 0};
    return poll(&one, 1, 0) > 0;
}

#endif
