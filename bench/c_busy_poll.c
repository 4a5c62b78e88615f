/* The floor: the least that a client over loopback can do.
 *
 *     c_busy_poll PORT CPU [one]
 *
 * Non-blocking recv() on the market socket in a tight loop (a look: the bytes are taken out when
 * the order is away, see peek()); on each frame whose ask price differs from the last one's, one
 * send() of a canned, already masked order with that price patched in.
 * No book, no check, no signature, no journal, and answers are neither asked for nor read. With
 * `one`, orders go out on the market socket itself, which no venue allows: the kernel's bare
 * acknowledgements then ride on them.
 *
 * Standard output: "ready" when both connections are up, and one line of JSON at the end.
 */
#include "common.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

enum { BUFFER_BYTES = 1 << 20, PRICE_SIZE = 8 };  /* "61800.10" */

/* As long as the order that tickmaker sends; the price stands at PRICE_MARK. */
static const char ORDER[] =
    "{\"id\":\"1000000000001\",\"method\":\"order.place\",\"params\":{\"apiKey\":"
    "\"bench0000000000000000000000000000000000000000000000000000000key0\","
    "\"newClientOrderId\":\"tm0a1b2c3d-01-000000000001\","
    "\"price\":\"########\",\"quantity\":\"0.010\",\"recvWindow\":1000,\"side\":\"SELL\","
    "\"signature\":\"0000000000000000000000000000000000000000000000000000000000000000\","
    "\"symbol\":\"BTCUSDT\",\"timeInForce\":\"GTX\",\"timestamp\":1723161256313,"
    "\"type\":\"LIMIT\"}}";
static const uint8_t MASK[4] = {0x3A, 0xC5, 0x71, 0x0F};

static int64_t order_size, price_at;
static uint8_t order[WS_HEADER_MAX + sizeof ORDER];

static void build_order(void) {
    int64_t size = (int64_t) sizeof ORDER - 1;
    int64_t at = ws_header(order, WS_TEXT, size, MASK);
    price_at = at + (strstr(ORDER, "########") - ORDER);
    for (int64_t i = 0; i < size; i++) {
        order[at + i] = (uint8_t) ORDER[i] ^ MASK[i & 3];
    }
    order_size = at + size;
}

static void patch_price(const uint8_t *price) {
    int64_t first = price_at - (order_size - (int64_t) sizeof ORDER + 1);
    for (int64_t i = 0; i < PRICE_SIZE; i++) {
        order[price_at + i] = price[i] ^ MASK[(first + i) & 3];
    }
}

static int upgrade(int port, const char *path) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t) port)};
    char text[4096];
    int64_t size = 0;
    int on = 1;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || connect(fd, (struct sockaddr *) &address, sizeof address) != 0) {
        die("can't connect to port %d: %s", port, strerror(errno));
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    size = snprintf(text, sizeof text,
                    "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUpgrade: websocket\r\n"
                    "Connection: Upgrade\r\nSec-WebSocket-Key: AAECAwQFBgcICQoLDA0ODw==\r\n"
                    "Sec-WebSocket-Version: 13\r\n\r\n",
                    path, port);
    send_all(fd, (const uint8_t *) text, size);
    size = 0;
    while (size < 4 || memcmp(text + size - 4, "\r\n\r\n", 4) != 0) {
        /* One byte at a time: what follows the head is the first frame's. */
        if (size == sizeof text || recv(fd, text + size, 1, 0) != 1) {
            die("no answer to the WebSocket upgrade of %s", path);
        }
        size++;
    }
    if (size < 12 || memcmp(text, "HTTP/1.1 101", 12) != 0) {
        die("the WebSocket upgrade of %s was refused", path);
    }
    return fd;
}

/* Offset of the ask price in a bookTicker frame, or -1 in another. */
static int64_t find_ask(const uint8_t *payload, int64_t size) {
    const uint8_t *at = memmem(payload, (size_t) size, "\"a\":\"", 5);
    if (at == NULL || at + 5 + PRICE_SIZE > payload + size || payload[size - 1] != '}') {
        return -1;
    }
    return at + 5 - payload;
}

int main(int argc, char **argv) {
    static uint8_t buffer[BUFFER_BYTES];
    uint8_t last_price[PRICE_SIZE] = {0};
    int64_t start = 0, end = 0, ask_at = -1, replies = 0, size;
    WsHead head;
    if (argc != 3 && argc != 4) {
        die("usage: c_busy_poll PORT CPU [one]");
    }
    int port = atoi(argv[1]);
    pin(atoi(argv[2]));
    build_order();
    memset(buffer, 1, sizeof buffer);
    int market_fd = upgrade(port, "/public/stream?streams=btcusdt@bookTicker");
    int trade_fd = argc == 4 ? market_fd : upgrade(port, "/ws-fapi/v1");
    printf("ready\n");
    fflush(stdout);
    for (;;) {
        ssize_t got = peek(market_fd, buffer + end, (int64_t) sizeof buffer - end);
        if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
            continue;
        }
        if (got <= 0) {
            break;
        }
        end += got;
        while ((size = ws_parse(buffer + start, end - start, &head)) > 0) {
            const uint8_t *payload = buffer + start + head.header_size;
            start += size;
            if (ask_at < 0 && (ask_at = find_ask(payload, head.payload_size)) < 0) {
                continue;
            }
            if (head.opcode != WS_TEXT || memcmp(payload + ask_at, last_price, PRICE_SIZE) == 0) {
                continue;
            }
            memcpy(last_price, payload + ask_at, PRICE_SIZE);
            patch_price(last_price);
            send_all(trade_fd, order, order_size);
            replies++;
        }
        discard(market_fd, got);
        if (start == end) {
            start = end = 0;
        } else if (end > BUFFER_BYTES / 2) {
            memmove(buffer, buffer + start, (size_t) (end - start));
            end -= start;
            start = 0;
        }
    }
    printf("{\"orders\": %" PRId64 ", \"order_bytes\": %" PRId64 "}\n", replies, order_size);
    return 0;
}
