/* The venue's end of the capacity bench: market data of many instruments on schedule, and a desk
 * that accepts every order.
 *
 *     capacity_end CPU RATE SCRIPT TRADE_FD USER_FD INSTRUMENTS MARKET_FD...
 *
 * The descriptors are TCP sockets past their WebSocket upgrade, inherited from
 * bench/capacity_venue.py; the last INSTRUMENTS of them are the market connection of each
 * instrument, in the order of their numbers (a shared connection is named again).
 *
 * SCRIPT holds the frames of one instrument, in order: int32 size, int32 places, int32 place[4],
 * then the bytes; a place is where three digits name the instrument. Every instrument gets all of
 * them under its own name, each at a moment of its own: arrivals are a Poisson process of RATE a
 * second and instrument (open loop: what is late is sent at once, and counted).
 *
 * Orders are taken and cancelled by an answer on TRADE and an event on USER, as a venue would. Ends
 * when the client hangs up. Standard output: one line of JSON.
 */
#include "common.h"

#include <math.h>
#include <poll.h>
#include <sys/prctl.h>

enum {
    PLACES_MAX = 4,
    RECV_BYTES = 1 << 20,
    OUT_BYTES = 1 << 20,
    TEXT_MAX = 1024,
    VALUE_MAX = 40,
    KEPT = 256,              /* orders of an instrument that are remembered, by their last digits */
    CORES_MAX = 1000,
    ID_SIZE = 13,            /* verb digit, 12 hexadecimal digits of the intent */
    LATE_MAX = 1 << 22,
};

typedef struct {
    int32_t size, places;
    int32_t place[PLACES_MAX];
    uint8_t *bytes;
} Frame;

typedef struct {
    char side[VALUE_MAX], price[VALUE_MAX], quantity[VALUE_MAX];
} Order;

typedef struct {
    int fd;
    int64_t start, end, out;
    uint8_t *in, *queue;
} Peer;

static Frame *script;
static int64_t script_count;
static Peer trade, user;
static int market_fd[CORES_MAX];
static int64_t cursor[CORES_MAX];
static Order kept[CORES_MAX][KEPT];
static int64_t instruments, sent, dry, places, cancels, others, reads;
static int64_t *late_ns, late_count;
static uint64_t dice = 0x9E3779B97F4A7C15ULL;

static void finish(void);

/* -- SCRIPT ---------------------------------------------------------------------------------- */

static void read_script(const char *path) {
    FILE *file = fopen(path, "rb");
    int32_t head[2];
    if (file == NULL) {
        die("can't read %s: %s", path, strerror(errno));
    }
    while (fread(head, sizeof head, 1, file) == 1) {
        script = realloc(script, sizeof(Frame) * (size_t) (script_count + 1));
        Frame *frame = script == NULL ? NULL : &script[script_count++];
        if (frame == NULL || head[0] < 1 || head[1] < 0 || head[1] > PLACES_MAX) {
            die("%s: a frame that can't be", path);
        }
        frame->size = head[0];
        frame->places = head[1];
        frame->bytes = malloc((size_t) head[0]);
        if (frame->bytes == NULL || fread(frame->place, sizeof frame->place, 1, file) != 1
            || fread(frame->bytes, (size_t) head[0], 1, file) != 1) {
            die("%s is cut", path);
        }
    }
    fclose(file);
    if (script_count == 0) {
        die("%s is empty", path);
    }
}

/* -- MARKET DATA ----------------------------------------------------------------------------- */

static uint64_t draw(void) {
    dice ^= dice << 13;
    dice ^= dice >> 7;
    dice ^= dice << 17;
    return dice;
}

/* Nanoseconds to the next arrival of a Poisson process. */
static int64_t gap_ns(double rate) {
    double uniform = ((double) (draw() >> 11) + 1.0) / 9007199254740993.0;
    return (int64_t) (-log(uniform) / rate * 1e9);
}

static void send_next(int number) {
    if (cursor[number] == script_count) {
        dry++;
        return;
    }
    Frame *frame = &script[cursor[number]++];
    for (int i = 0; i < frame->places; i++) {
        uint8_t *at = frame->bytes + frame->place[i];
        at[0] = (uint8_t) ('0' + number / 100);
        at[1] = (uint8_t) ('0' + number / 10 % 10);
        at[2] = (uint8_t) ('0' + number % 10);
    }
    const uint8_t *data = frame->bytes;
    int64_t left = frame->size;
    while (left > 0) {
        ssize_t got = send(market_fd[number], data, (size_t) left, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (got < 0 && errno != EAGAIN && errno != EINTR) {
            finish();
        }
        left -= got > 0 ? got : 0;
        data += got > 0 ? got : 0;
    }
    sent++;
}

/* -- ORDERS ---------------------------------------------------------------------------------- */

static void flush(Peer *peer) {
    int64_t done = 0;
    while (done < peer->out) {
        ssize_t got = send(peer->fd, peer->queue + done, (size_t) (peer->out - done),
                           MSG_DONTWAIT | MSG_NOSIGNAL);
        if (got < 0 && errno != EAGAIN && errno != EINTR) {
            finish();
        }
        done += got > 0 ? got : 0;
    }
    peer->out = 0;
}

static void put(Peer *peer, const char *text, int size) {
    if (size < 0 || size >= TEXT_MAX) {
        die("no room for an answer");
    }
    if (peer->out + size + WS_HEADER_MAX > OUT_BYTES) {
        flush(peer);
    }
    peer->out += ws_header(peer->queue + peer->out, WS_TEXT, size, NULL);
    memcpy(peer->queue + peer->out, text, (size_t) size);
    peer->out += size;
}

/* The text behind `name` (with quotes and colon), "" where there is none. */
static void value_of(const uint8_t *text, int64_t size, const char *name, char *out) {
    const uint8_t *at = memmem(text, (size_t) size, name, strlen(name));
    int i = 0;
    if (at != NULL) {
        at += strlen(name);
        while (at + i < text + size && at[i] != '"' && i < VALUE_MAX - 1) {
            out[i] = (char) at[i];
            i++;
        }
    }
    out[i] = 0;
}

static void accept_order(const char *id, const char *client_id, const char *symbol,
                         const Order *order, int64_t venue_id, int is_new) {
    const char *status = is_new ? "NEW" : "CANCELED";
    char text[TEXT_MAX];
    put(&trade, text, snprintf(
        text, sizeof text,
        "{\"id\":\"%s\",\"status\":200,\"result\":{\"orderId\":%" PRId64 ",\"symbol\":\"%s\","
        "\"status\":\"%s\",\"clientOrderId\":\"%s\",\"price\":\"%s\",\"avgPrice\":\"0.00\","
        "\"origQty\":\"%s\",\"executedQty\":\"0.000\",\"cumQty\":\"0.000\",\"timeInForce\":\"GTX\","
        "\"type\":\"LIMIT\",\"reduceOnly\":false,\"closePosition\":false,\"side\":\"%s\","
        "\"positionSide\":\"BOTH\",\"stopPrice\":\"0.00\",\"workingType\":\"CONTRACT_PRICE\","
        "\"priceProtect\":false,\"origType\":\"LIMIT\",\"updateTime\":1723161256313},"
        "\"rateLimits\":[{\"rateLimitType\":\"ORDERS\",\"interval\":\"SECOND\",\"intervalNum\":10,"
        "\"limit\":300,\"count\":1}]}",
        id, venue_id, symbol, status, client_id, order->price, order->quantity, order->side));
    put(&user, text, snprintf(
        text, sizeof text,
        "{\"e\":\"ORDER_TRADE_UPDATE\",\"T\":1723161256313,\"E\":1723161256313,\"o\":{\"s\":\"%s\","
        "\"c\":\"%s\",\"S\":\"%s\",\"o\":\"LIMIT\",\"f\":\"GTX\",\"q\":\"%s\",\"p\":\"%s\","
        "\"ap\":\"0.0\",\"sp\":\"0\",\"x\":\"%s\",\"X\":\"%s\",\"i\":%" PRId64 ",\"l\":\"0.000\","
        "\"z\":\"0.000\",\"L\":\"0.00\",\"T\":1723161256313,\"t\":0,\"b\":\"0\",\"a\":\"0\","
        "\"m\":false,\"R\":false,\"wt\":\"CONTRACT_PRICE\",\"ot\":\"LIMIT\",\"ps\":\"BOTH\","
        "\"cp\":false,\"rp\":\"0.00000000\",\"V\":\"EXPIRE_MAKER\",\"pm\":\"NONE\",\"gtd\":0}}",
        symbol, client_id, order->side, order->quantity, order->price, status, status, venue_id));
}

static void on_request(const uint8_t *text, int64_t size) {
    char id[VALUE_MAX], client_id[VALUE_MAX], symbol[VALUE_MAX], digits[4];
    value_of(text, size, "\"id\":\"", id);
    value_of(text, size, "\"symbol\":\"", symbol);
    if (strlen(id) != ID_SIZE) {
        die("a request without an id: %.200s", (const char *) text);
    }
    memcpy(digits, id + 1, 3);
    digits[3] = 0;
    long core = strtol(digits, NULL, 16);
    int64_t intent = strtoll(id + 4, NULL, 16);
    if (core >= CORES_MAX) {
        die("an order of core %ld", core);
    }
    Order *order = &kept[core][intent % KEPT];
    if (id[0] == '1') {
        value_of(text, size, "\"newClientOrderId\":\"", client_id);
        value_of(text, size, "\"side\":\"", order->side);
        value_of(text, size, "\"price\":\"", order->price);
        value_of(text, size, "\"quantity\":\"", order->quantity);
        places++;
    } else if (id[0] == '2') {
        value_of(text, size, "\"origClientOrderId\":\"", client_id);
        cancels++;
    } else {
        others++;
        return;
    }
    accept_order(id, client_id, symbol, order, (int64_t) core << 32 | (intent & 0xFFFFFFFF),
                 id[0] == '1');
}

static void on_frame(Peer *peer, const WsHead *head, uint8_t *payload) {
    for (int64_t i = 0; i < head->payload_size; i++) {
        payload[i] ^= head->mask[i & 3];
    }
    if (head->opcode == WS_TEXT && peer == &trade) {
        on_request(payload, head->payload_size);
    } else if (head->opcode == WS_PING && head->payload_size <= 125) {
        peer->out += ws_header(peer->queue + peer->out, WS_PONG, head->payload_size, NULL);
        memcpy(peer->queue + peer->out, payload, (size_t) head->payload_size);
        peer->out += head->payload_size;
    } else if (head->opcode == WS_CLOSE) {
        finish();
    }
}

static void poll_peer(Peer *peer) {
    WsHead head;
    int64_t size;
    ssize_t got = recv(peer->fd, peer->in + peer->end, (size_t) (RECV_BYTES - peer->end),
                       MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    if (got <= 0) {
        finish();
    }
    reads++;
    peer->end += got;
    while ((size = ws_parse(peer->in + peer->start, peer->end - peer->start, &head)) > 0) {
        on_frame(peer, &head, peer->in + peer->start + head.header_size);
        peer->start += size;
    }
    memmove(peer->in, peer->in + peer->start, (size_t) (peer->end - peer->start));
    peer->end -= peer->start;
    peer->start = 0;
    flush(&trade);
    flush(&user);
}

/* -- RUN ------------------------------------------------------------------------------------- */

static int by_value(const void *a, const void *b) {
    int64_t x = *(const int64_t *) a, y = *(const int64_t *) b;
    return (x > y) - (x < y);
}

static double late_us(double part) {
    if (late_count == 0) {
        return 0.0;
    }
    return (double) late_ns[(int64_t) (part * (double) (late_count - 1))] / 1e3;
}

static void finish(void) {
    qsort(late_ns, (size_t) late_count, sizeof(int64_t), by_value);
    printf("{\"sent\": %" PRId64 ", \"dry\": %" PRId64 ", \"places\": %" PRId64 ", \"cancels\": %"
           PRId64 ", \"others\": %" PRId64 ", \"late_send_p50_us\": %.1f, \"late_send_p99_us\": "
           "%.1f, \"late_send_max_us\": %.1f}\n",
           sent, dry, places, cancels, others, late_us(0.5), late_us(0.99), late_us(1.0));
    fflush(stdout);
    exit(0);
}

/* Sleep until something is due or asked: the processor is shared, and a late send is not charged
 * to the client, whose kernel stamps what it gets. */
static void wait_until(int64_t due_ns) {
    struct pollfd fds[2] = {{trade.fd, POLLIN, 0}, {user.fd, POLLIN, 0}};
    int64_t left_ns = due_ns - monotonic_ns();
    if (left_ns <= 0) {
        left_ns = 0;
    }
    struct timespec timeout = {left_ns / 1000000000, left_ns % 1000000000};
    if (ppoll(fds, 2, &timeout, NULL) > 0) {
        if (fds[0].revents) {
            poll_peer(&trade);
        }
        if (fds[1].revents) {
            poll_peer(&user);
        }
    }
}

static void run(double rate) {
    int64_t due_ns = monotonic_ns();
    double in_all = rate * (double) instruments;
    for (;;) {
        int64_t now_ns = monotonic_ns();
        if (now_ns >= due_ns) {
            if (late_count < LATE_MAX) {
                late_ns[late_count++] = now_ns - due_ns;
            }
            send_next((int) (draw() % (uint64_t) instruments));
            due_ns += gap_ns(in_all);
        }
        wait_until(due_ns);
    }
}

static void peer_init(Peer *peer, int fd) {
    peer->fd = fd;
    peer->in = malloc(RECV_BYTES);
    peer->queue = malloc(OUT_BYTES);
    if (peer->in == NULL || peer->queue == NULL) {
        die("no memory");
    }
}

int main(int argc, char **argv) {
    if (argc < 8 || (instruments = atoll(argv[6])) < 1 || instruments > CORES_MAX
        || argc != 7 + instruments) {
        die("usage: capacity_end CPU RATE SCRIPT TRADE_FD USER_FD INSTRUMENTS MARKET_FD...");
    }
    double rate = atof(argv[2]);
    if (rate <= 0.0) {
        die("RATE must be positive");
    }
    pin(atoi(argv[1]));
    read_script(argv[3]);
    peer_init(&trade, atoi(argv[4]));
    peer_init(&user, atoi(argv[5]));
    for (int64_t i = 0; i < instruments; i++) {
        market_fd[i] = atoi(argv[7 + i]);
    }
    late_ns = malloc(sizeof(int64_t) * LATE_MAX);
    if (late_ns == NULL) {
        die("no memory");
    }
    prctl(PR_SET_TIMERSLACK, 1);   /* else a sleep is 50 us longer than asked for */
    run(rate);
}
