/* The exchange's end of the wire bench: sends market data on schedule, times the orders it causes.
 *
 *     exchange_end MARKET_FD TRADE_FD USER_FD CPU EVENTS WARMUP RATE BURST ANSWERS OUT
 *
 * The descriptors are TCP sockets past their WebSocket upgrade, inherited from bench/wire.py
 * (USER_FD -1: none; TRADE_FD may be MARKET_FD).
 *
 * An event is one send() of BURST bookTicker frames, of which the last, and only it, moves the
 * touch by a tick. Event i is due at start + i / RATE whatever became of those before it (open
 * loop, no waiting for the client), and its ask price says which event it is. WARMUP events come
 * first and are not kept.
 *
 * Three stamps an event: due; sent, read just before the send(); received, read when the recv()
 * returns that shows an order whole, priced by this event or a later one (an event that the
 * client passed over is charged until it was overtaken: nothing is left out). -1: never answered.
 *
 * With ANSWERS, each order and cancel is accepted by an answer on the trade socket, sent after the
 * stamp was taken. Only clients with a state machine to keep going ask for that.
 *
 * OUT: int64 events, int64 hiccups, then due_ns[], sent_ns[], received_ns[], hiccup_ns[].
 * Standard output: one line of JSON. The two ends share one clock, but only this end reads it.
 */
#include "common.h"

enum {
    BURST_MAX = 256,
    FRAME_MAX = 256,
    RECV_BYTES = 1 << 20,
    ANSWER_MAX = 1024,
    ANSWERS_MAX = 64,        /* answers that one recv() may cause before they are sent */
    SLOTS = 1000,            /* ticks that the ask walks before it starts again */
    PRICE_INTEGERS = 5,      /* digits before the point; behind it one counts: a tick is 0.10 */
    ID_SIZE = 13,            /* verb digit, 12 hexadecimal digits of the intent */
    OTHERS_EVERY = 4096,     /* idle turns between two looks at the market and user sockets */
};

static const int64_t BASE_TICKS = 618001;          /* ask of event 0, in ticks of 0.10 */
static const int64_t BASE_UPDATE_ID = 5123107839020;
static const int64_t PATIENCE_NS = 2000000000;     /* for the last answers */

typedef struct {
    int fd;
    int64_t start, end;
    uint8_t *buffer;
} Peer;

static Peer market, trade, user;
static int is_answering;
static int64_t orders, cancels, queries, answer_count, superseded;
static int64_t total, next_event, answered;        /* events; next to send; next unanswered */
static int64_t *due_ns, *sent_ns, *received_ns;
static Hiccups hiccups;
static uint8_t frames[BURST_MAX * FRAME_MAX], answers[ANSWERS_MAX * ANSWER_MAX];
static int64_t frames_size, answers_size;

static void peer_init(Peer *peer, int fd) {
    peer->fd = fd;
    peer->start = peer->end = 0;
    peer->buffer = malloc(RECV_BYTES);
    if (peer->buffer == NULL) {
        die("no memory");
    }
    memset(peer->buffer, 1, RECV_BYTES);
}

/* -- MARKET DATA ----------------------------------------------------------------------------- */

static void put_frame(int64_t update, int64_t slot, int64_t qty_lots) {
    char text[FRAME_MAX];
    int64_t ask = BASE_TICKS + slot, bid = ask - 1;
    int size = snprintf(
        text, sizeof text,
        "{\"stream\":\"btcusdt@bookTicker\",\"data\":{\"e\":\"bookTicker\",\"u\":%013" PRId64
        ",\"s\":\"BTCUSDT\",\"ps\":\"BTCUSDT\",\"st\":1,\"b\":\"%05" PRId64 ".%" PRId64
        "0\",\"B\":\"%" PRId64 ".%03" PRId64 "\",\"a\":\"%05" PRId64 ".%" PRId64
        "0\",\"A\":\"%" PRId64 ".%03" PRId64 "\",\"T\":1723161256313,\"E\":1723161256313}}",
        BASE_UPDATE_ID + update, bid / 10, bid % 10, qty_lots / 1000, qty_lots % 1000, ask / 10,
        ask % 10, qty_lots / 1000, qty_lots % 1000);
    frames_size += ws_header(frames + frames_size, WS_TEXT, size, NULL);
    memcpy(frames + frames_size, text, (size_t) size);
    frames_size += size;
}

/* The frames of one event, ready to send: sizes move in all of them, the touch in the last. */
static void build_event(int64_t event, int64_t burst) {
    frames_size = 0;
    for (int64_t i = 0; i < burst - 1; i++) {
        put_frame(event * burst + i, (event + SLOTS - 1) % SLOTS, 2001 + i);
    }
    put_frame(event * burst + burst - 1, event % SLOTS, 2507);
}

/* -- ORDERS ---------------------------------------------------------------------------------- */

/* `price`: "61800.1", "61800.10"; bounded by the quote that ends it. */
static void on_price(const uint8_t *price, int64_t now_ns) {
    int64_t ticks = 0, event;
    int i = 0;
    for (; i < PRICE_INTEGERS && price[i] >= '0' && price[i] <= '9'; i++) {
        ticks = 10 * ticks + (price[i] - '0');
    }
    if (i != PRICE_INTEGERS || price[i] != '.' || price[i + 1] < '0' || price[i + 1] > '9') {
        die("an order at the price %.8s", (const char *) price);
    }
    event = 10 * ticks + (price[i + 1] - '0') - BASE_TICKS;
    if (next_event == 0) {
        return;                                    /* on the book as it was before event 0 */
    }
    if (event < 0 || event >= SLOTS) {
        die("an order at a price that was never quoted: %.8s", (const char *) price);
    }
    event += (next_event - 1) / SLOTS * SLOTS;
    if (event >= next_event) {
        event -= SLOTS;
    }
    superseded += event > answered ? event - answered : 0;
    for (; answered <= event; answered++) {
        received_ns[answered] = now_ns;
    }
}

static void put_answer(const uint8_t *id, const char *status) {
    char text[ANSWER_MAX];
    int size = snprintf(
        text, sizeof text,
        "{\"id\":\"%.13s\",\"status\":200,\"result\":{\"orderId\":%" PRId64 ",\"symbol\":"
        "\"BTCUSDT\",\"status\":\"%s\",\"price\":\"61800.10\",\"origQty\":\"0.010\","
        "\"executedQty\":\"0.000\",\"cumQty\":\"0.000\",\"timeInForce\":\"GTX\",\"type\":"
        "\"LIMIT\",\"reduceOnly\":false,\"closePosition\":false,\"side\":\"SELL\","
        "\"positionSide\":\"BOTH\",\"stopPrice\":\"0.00\",\"workingType\":\"CONTRACT_PRICE\","
        "\"priceProtect\":false,\"origType\":\"LIMIT\",\"updateTime\":1723161256313},"
        "\"rateLimits\":[{\"rateLimitType\":\"ORDERS\",\"interval\":\"SECOND\",\"intervalNum\":10,"
        "\"limit\":300,\"count\":1}]}",
        (const char *) id, 8886774 + (int64_t) strtoll((const char *) id + 5, NULL, 16), status);
    if (answers_size + size + WS_HEADER_MAX > (int64_t) sizeof answers) {
        send_all(trade.fd, answers, answers_size);
        answers_size = 0;
    }
    answers_size += ws_header(answers + answers_size, WS_TEXT, size, NULL);
    memcpy(answers + answers_size, text, (size_t) size);
    answers_size += size;
    answer_count++;
}

static void on_request(const uint8_t *text, int64_t size, int64_t now_ns) {
    const uint8_t *id = memmem(text, (size_t) size, "\"id\":\"", 6);
    const uint8_t *price = memmem(text, (size_t) size, "\"price\":\"", 9);
    int verb = '1';
    if (is_answering) {
        if (id == NULL || id + 6 + ID_SIZE > text + size) {
            die("a request without an id");
        }
        verb = id[6];
    }
    if (verb == '1') {
        if (price == NULL || price + 9 + PRICE_INTEGERS + 2 > text + size) {
            die("an order without a price");
        }
        orders++;
        on_price(price + 9, now_ns);
    } else if (verb == '2') {
        cancels++;
    } else {
        queries++;
    }
    if (is_answering) {
        put_answer(id + 6, verb == '2' ? "CANCELED" : "NEW");
    }
}

static void on_frame(Peer *peer, const WsHead *head, uint8_t *payload, int64_t now_ns) {
    for (int64_t i = 0; i < head->payload_size; i++) {
        payload[i] ^= head->mask[i & 3];
    }
    if (head->opcode == WS_TEXT && peer == &trade) {
        on_request(payload, head->payload_size, now_ns);
    } else if (head->opcode == WS_PING && head->payload_size <= 125) {
        uint8_t pong[WS_HEADER_MAX + 125];
        int64_t at = ws_header(pong, WS_PONG, head->payload_size, NULL);
        memcpy(pong + at, payload, (size_t) head->payload_size);
        send_all(peer->fd, pong, at + head->payload_size);
    } else if (head->opcode == WS_CLOSE) {
        die("the client closed its WebSocket");
    }
}

/* One read; 1 if it brought anything. */
static int poll_peer(Peer *peer) {
    WsHead head;
    int64_t size, now_ns;
    ssize_t got;
    if (peer->fd < 0) {
        return 0;
    }
    got = peek(peer->fd, peer->buffer + peer->end, RECV_BYTES - peer->end);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
        return 0;
    }
    now_ns = monotonic_ns();
    if (got <= 0) {
        die("the client went away: %s", got == 0 ? "connection closed" : strerror(errno));
    }
    discard(peer->fd, got);
    peer->end += got;
    while ((size = ws_parse(peer->buffer + peer->start, peer->end - peer->start, &head)) > 0) {
        on_frame(peer, &head, peer->buffer + peer->start + head.header_size, now_ns);
        peer->start += size;
    }
    if (peer->start == peer->end) {
        peer->start = peer->end = 0;
    } else if (peer->end > RECV_BYTES / 2) {
        memmove(peer->buffer, peer->buffer + peer->start, (size_t) (peer->end - peer->start));
        peer->end -= peer->start;
        peer->start = 0;
    }
    if (answers_size > 0) {
        send_all(trade.fd, answers, answers_size);
        answers_size = 0;
    }
    return 1;
}

/* -- RUN ------------------------------------------------------------------------------------- */

static void run(int64_t rate, int64_t burst) {
    int64_t idle = 0;
    int64_t start_ns = monotonic_ns() + 50000000;
    for (int64_t i = 0; i < total; i++) {
        due_ns[i] = start_ns + i * 1000000000 / rate;
        received_ns[i] = sent_ns[i] = -1;
    }
    build_event(0, burst);
    for (;;) {
        int64_t now_ns = monotonic_ns();
        hiccups_on_read(&hiccups, now_ns);
        if (next_event < total && now_ns >= due_ns[next_event]) {
            sent_ns[next_event++] = monotonic_ns();
            send_all(market.fd, frames, frames_size);
            build_event(next_event, burst);
            hiccups_break(&hiccups);
            continue;
        }
        if (poll_peer(&trade)) {
            hiccups_break(&hiccups);
        } else if (++idle % OTHERS_EVERY == 0) {
            if (market.fd != trade.fd) {
                poll_peer(&market);
            }
            poll_peer(&user);
            hiccups_break(&hiccups);
        }
        if (next_event == total
            && (answered == total || now_ns > sent_ns[total - 1] + PATIENCE_NS)) {
            return;
        }
    }
}

static void write_all(FILE *file, const int64_t *values, int64_t count) {
    if (fwrite(values, sizeof(int64_t), (size_t) count, file) != (size_t) count) {
        die("can't write the result: %s", strerror(errno));
    }
}

int main(int argc, char **argv) {
    if (argc != 11) {
        die("usage: exchange_end MARKET_FD TRADE_FD USER_FD CPU EVENTS WARMUP RATE BURST ANSWERS "
            "OUT");
    }
    int64_t events = atoll(argv[5]), warmup = atoll(argv[6]), rate = atoll(argv[7]);
    int64_t burst = atoll(argv[8]);
    is_answering = atoi(argv[9]);
    if (events < 1 || warmup < 0 || rate < 1 || burst < 1 || burst > BURST_MAX) {
        die("EVENTS, RATE and BURST must be positive, BURST at most %d", BURST_MAX);
    }
    total = events + warmup;
    peer_init(&market, atoi(argv[1]));
    peer_init(&trade, atoi(argv[2]));
    peer_init(&user, atoi(argv[3]));
    pin(atoi(argv[4]));
    hiccups_init(&hiccups);
    due_ns = malloc(sizeof(int64_t) * (size_t) total);
    sent_ns = malloc(sizeof(int64_t) * (size_t) total);
    received_ns = malloc(sizeof(int64_t) * (size_t) total);
    if (due_ns == NULL || sent_ns == NULL || received_ns == NULL) {
        die("no memory for %" PRId64 " events", total);
    }
    run(rate, burst);
    FILE *out = fopen(argv[10], "wb");
    if (out == NULL) {
        die("can't write %s: %s", argv[10], strerror(errno));
    }
    write_all(out, &events, 1);
    write_all(out, &hiccups.count, 1);
    write_all(out, due_ns + warmup, events);
    write_all(out, sent_ns + warmup, events);
    write_all(out, received_ns + warmup, events);
    write_all(out, hiccups.samples_ns, hiccups.count);
    if (fclose(out) != 0) {
        die("can't write %s: %s", argv[10], strerror(errno));
    }
    printf("{\"orders\": %" PRId64 ", \"cancels\": %" PRId64 ", \"queries\": %" PRId64
           ", \"answers\": %" PRId64 ", \"superseded\": %" PRId64 ", \"unanswered\": %" PRId64
           ", \"frame_bytes\": %" PRId64 "}\n",
           orders, cancels, queries, answer_count, superseded, total - answered,
           frames_size / burst);
    return 0;
}
