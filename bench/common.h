/* What the bench's C programs share: clock, processor, hiccups, and the little of RFC 6455 that
 * whole text frames need. */
#ifndef TICKMAKER_BENCH_COMMON_H
#define TICKMAKER_BENCH_COMMON_H

#define _GNU_SOURCE
#include <errno.h>
#include <inttypes.h>
#include <sched.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define HICCUP_WINDOW_NS 1000000  /* one sample: the longest gap within a millisecond */
#define HICCUPS_MAX (1 << 20)     /* samples kept: 17 minutes */

static inline int64_t monotonic_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t) t.tv_sec * 1000000000 + t.tv_nsec;
}

static inline __attribute__((noreturn, format(printf, 1, 2))) void die(const char *text, ...) {
    va_list args;
    va_start(args, text);
    vfprintf(stderr, text, args);
    va_end(args);
    fputc('\n', stderr);
    exit(1);
}

static inline void pin(int cpu) {
    cpu_set_t set;
    if (cpu < 0) {
        return;
    }
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    if (sched_setaffinity(0, sizeof set, &set) != 0) {
        die("can't run on processor %d: %s", cpu, strerror(errno));
    }
}

/* -- HICCUPS --------------------------------------------------------------------------------- */

/* Longest gap between two consecutive clock reads of an idle loop, for each millisecond: what the
 * machine takes away from whoever runs here. */
typedef struct {
    int64_t last_ns;         /* last clock read; 0: the next one opens a new chain */
    int64_t window_end_ns;
    int64_t worst_ns;
    int64_t count;
    int64_t *samples_ns;
} Hiccups;

static inline void hiccups_init(Hiccups *hiccups) {
    memset(hiccups, 0, sizeof *hiccups);
    hiccups->samples_ns = malloc(sizeof(int64_t) * HICCUPS_MAX);
    if (hiccups->samples_ns == NULL) {
        die("no memory for hiccups");
    }
    memset(hiccups->samples_ns, 1, sizeof(int64_t) * HICCUPS_MAX);
}

/* `now_ns`: a clock read of the loop. */
static inline void hiccups_on_read(Hiccups *hiccups, int64_t now_ns) {
    int64_t gap_ns = now_ns - hiccups->last_ns;
    if (hiccups->last_ns != 0 && gap_ns > hiccups->worst_ns) {
        hiccups->worst_ns = gap_ns;
    }
    if (now_ns >= hiccups->window_end_ns) {
        if (hiccups->worst_ns > 0 && hiccups->count < HICCUPS_MAX) {
            hiccups->samples_ns[hiccups->count++] = hiccups->worst_ns;
        }
        hiccups->worst_ns = 0;
        hiccups->window_end_ns = now_ns + HICCUP_WINDOW_NS;
    }
    hiccups->last_ns = now_ns;
}

/* The loop did some work: the gap that follows is not the machine's. */
static inline void hiccups_break(Hiccups *hiccups) {
    hiccups->last_ns = 0;
}

/* -- WEBSOCKET ------------------------------------------------------------------------------- */

enum { WS_TEXT = 1, WS_CLOSE = 8, WS_PING = 9, WS_PONG = 10, WS_HEADER_MAX = 14 };

typedef struct {
    int opcode;
    int64_t header_size;
    int64_t payload_size;
    uint8_t mask[4];         /* zeros where the frame is not masked */
} WsHead;

/* Bytes of the whole frame at `buf`, 0 while it is not all there. */
static inline int64_t ws_parse(const uint8_t *buf, int64_t size, WsHead *head) {
    int64_t at = 2;
    if (size < 2) {
        return 0;
    }
    head->opcode = buf[0] & 0x0F;
    head->payload_size = buf[1] & 0x7F;
    if (head->payload_size == 126) {
        if (size < 4) {
            return 0;
        }
        head->payload_size = buf[2] << 8 | buf[3];
        at = 4;
    } else if (head->payload_size == 127) {
        die("a frame of more than 64 KiB");
    }
    memset(head->mask, 0, 4);
    if (buf[1] & 0x80) {
        if (size < at + 4) {
            return 0;
        }
        memcpy(head->mask, buf + at, 4);
        at += 4;
    }
    head->header_size = at;
    return size >= at + head->payload_size ? at + head->payload_size : 0;
}

/* Header of an unfragmented frame at `out`; `mask` NULL: a server's. Bytes written. */
static inline int64_t ws_header(uint8_t *out, int opcode, int64_t size, const uint8_t *mask) {
    int64_t at = 2;
    out[0] = (uint8_t) (0x80 | opcode);
    if (size < 126) {
        out[1] = (uint8_t) size;
    } else if (size < 65536) {
        out[1] = 126;
        out[2] = (uint8_t) (size >> 8);
        out[3] = (uint8_t) size;
        at = 4;
    } else {
        die("a frame of more than 64 KiB");
    }
    if (mask != NULL) {
        out[1] |= 0x80;
        memcpy(out + at, mask, 4);
        at += 4;
    }
    return at;
}

/* Look at what has arrived, and take it out when the work is done: taking it out makes the kernel
 * send an acknowledgement before the call returns, 3.3 us on loopback instead of 0.7 us. */
static inline ssize_t peek(int fd, uint8_t *to, int64_t room) {
    return recv(fd, to, (size_t) room, MSG_DONTWAIT | MSG_PEEK);
}

static inline void discard(int fd, ssize_t size) {
    if (recv(fd, NULL, (size_t) size, MSG_DONTWAIT | MSG_TRUNC) != size) {
        die("can't take %zd bytes out of a socket: %s", size, strerror(errno));
    }
}

/* Send all of it; the peer reads, so a full buffer empties soon. */
static inline void send_all(int fd, const uint8_t *data, int64_t size) {
    while (size > 0) {
        ssize_t sent = send(fd, data, (size_t) size, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent < 0) {
            if (errno == EAGAIN || errno == EINTR) {
                continue;
            }
            die("the client went away: %s", strerror(errno));
        }
        data += sent;
        size -= sent;
    }
}

#endif
