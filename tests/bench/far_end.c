/* The light far end's fast half: owns the IAX2 socket and returns mini frames by itself.
 *
 * Full frames go to and come from the Python process that started us, whose engine sets calls up.
 * It also tells which of the gateway's call numbers is which of ours, and the call's key.
 *
 * Without key rotation both directions of a call share one key, so an echo is the octets that
 * came, under the other call number. Of measuring frames (measure.h) two blocks are touched: the
 * last but one is deciphered to see that the gateway sealed a real frame, and the last is written
 * anew with the times of arrival and return. In CBC that takes one AES operation each:
 *     block 8 = D(C8) xor C7          C9 = E(block 9 xor C8)
 *
 * Messages on the control socket (SOCK_SEQPACKET), each: type, 0, port (16), IPv4 address (32), then
 *   'R' to Python: the socket is bound (address 0)
 *   'F' to Python: a full frame that came from that address
 *   'S' from Python: a datagram to send to that address
 *   'M' from Python: peer call number (16), our call number (16), key (16 octets); big-endian
 *   'U' from Python: peer call number (16): the call has ended
 * When the control socket closes, counters go to standard output as JSON.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/udp.h>
#include <openssl/evp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "full_seconds.h" /* and measure.h */

enum {
    HEADER_OCTETS = 8,
    MINI_CLEAR_OCTETS = 2,
    SEALED_OCTETS = 192, /* 30 of padding, 2 of timestamp, 160 of G.711 */
    MINI_OCTETS = MINI_CLEAR_OCTETS + SEALED_OCTETS,
    BLOCK_7 = MINI_OCTETS - 3 * BLOCK_OCTETS,
    BLOCK_8 = MINI_OCTETS - 2 * BLOCK_OCTETS,
    BLOCK_9 = MINI_OCTETS - BLOCK_OCTETS,
    CALL_NUMBERS = 1 << 15,
    MAX_PEERS = 8,
    MAX_BATCH = 64, /* what UDP_SEGMENT takes */
    SOCKET_OCTETS = 4 << 20,
    TICK_NS = 500000,
    QUIET_TICKS = 200,
};

struct route {
    uint16_t our_call; /* 0: no such call */
    uint32_t returned;
    EVP_CIPHER_CTX *seal, *open;
};

struct peer {
    struct sockaddr_in address;
    struct route routes[CALL_NUMBERS];
};

struct pending {
    struct route *route;
    uint64_t arrived_ns; /* 0: no measuring frame */
};

static int link_fd, control_fd;
static bool batches, sink;
static struct peer *peers[MAX_PEERS];
static struct {
    uint8_t octets[MAX_BATCH * MINI_OCTETS];
    struct pending frame[MAX_BATCH];
    unsigned count;
    struct peer *peer;
} outgoing;
static struct {
    uint64_t full, mini, measuring, other_size, unknown, send_failed;
} counts;

/* --- peers and calls --- */

static struct peer *find_peer(const struct sockaddr_in *address)
{
    for (int i = 0; i < MAX_PEERS && peers[i]; i++)
        if (peers[i]->address.sin_port == address->sin_port
            && peers[i]->address.sin_addr.s_addr == address->sin_addr.s_addr)
            return peers[i];
    return NULL;
}

static struct peer *add_peer(const struct sockaddr_in *address)
{
    int i = 0;
    while (i < MAX_PEERS && peers[i])
        i++;
    if (i == MAX_PEERS || !(peers[i] = calloc(1, sizeof **peers))) {
        fprintf(stderr, "far_end: more than %d peers\n", MAX_PEERS);
        exit(1);
    }
    peers[i]->address = *address;
    return peers[i];
}

static EVP_CIPHER_CTX *block_cipher(EVP_CIPHER_CTX *context, const uint8_t *key, int encipher)
{
    if (!context)
        context = EVP_CIPHER_CTX_new();
    EVP_CipherInit_ex(context, EVP_aes_128_ecb(), NULL, key, NULL, encipher);
    EVP_CIPHER_CTX_set_padding(context, 0);
    return context;
}

static void map_call(struct peer *peer, uint16_t peer_call, uint16_t our_call, const uint8_t *key)
{
    struct route *route = &peer->routes[peer_call % CALL_NUMBERS];
    route->our_call = our_call;
    route->returned = 0;
    route->seal = block_cipher(route->seal, key, 1);
    route->open = block_cipher(route->open, key, 0);
}

/* --- the echo --- */

static void xor_block(uint8_t *to, const uint8_t *with)
{
    for (int i = 0; i < BLOCK_OCTETS; i++)
        to[i] ^= with[i];
}

/* Does block 8 bear the load's mark? Anything else is the gateway's own audio. */
static bool is_measuring(struct route *route, const uint8_t *mini)
{
    struct sent_block sent;
    uint8_t block[BLOCK_OCTETS];
    int octets = 0;
    EVP_DecryptUpdate(route->open, block, &octets, mini + BLOCK_8, BLOCK_OCTETS);
    xor_block(block, mini + BLOCK_7);
    memcpy(&sent, block, sizeof sent);
    return sent.mark == MEASURE_MARK;
}

static void stamp(uint8_t *mini, struct pending *frame, uint64_t now_ns)
{
    struct echo_block echo = {.arrived_ns = frame->arrived_ns, .returned = frame->route->returned++};
    uint8_t block[BLOCK_OCTETS];
    int octets = 0;
    if (now_ns > frame->arrived_ns)
        echo.held_ns = (uint32_t)(now_ns - frame->arrived_ns);
    memcpy(block, &echo, sizeof block);
    xor_block(block, mini + BLOCK_8);
    EVP_EncryptUpdate(frame->route->seal, mini + BLOCK_9, &octets, block, BLOCK_OCTETS);
}

static void flush(void)
{
    if (!outgoing.count)
        return;
    union {
        struct cmsghdr align;
        char octets[CMSG_SPACE(sizeof(uint16_t))];
    } control = {0};
    struct iovec part = {outgoing.octets, outgoing.count * MINI_OCTETS};
    struct msghdr message = {.msg_name = &outgoing.peer->address,
                             .msg_namelen = sizeof outgoing.peer->address,
                             .msg_iov = &part, .msg_iovlen = 1};
    if (outgoing.count > 1) {
        uint16_t segment = MINI_OCTETS;
        message.msg_control = &control;
        message.msg_controllen = sizeof control;
        control.align = (struct cmsghdr){CMSG_LEN(sizeof segment), SOL_UDP, UDP_SEGMENT};
        memcpy(CMSG_DATA(&control.align), &segment, sizeof segment);
    }
    uint64_t now_ns = clock_ns(CLOCK_REALTIME);
    for (unsigned i = 0; i < outgoing.count; i++)
        if (outgoing.frame[i].arrived_ns)
            stamp(outgoing.octets + i * MINI_OCTETS, &outgoing.frame[i], now_ns);
    if (sendmsg(link_fd, &message, 0) < 0)
        counts.send_failed += outgoing.count;
    outgoing.count = 0;
}

static void return_mini(struct peer *peer, const uint8_t *mini, uint64_t arrived_ns)
{
    struct route *route = &peer->routes[mini[0] << 8 | mini[1]];
    if (!route->our_call) {
        counts.unknown++;
        return;
    }
    bool measuring = is_measuring(route, mini);
    counts.mini++;
    counts.measuring += measuring;
    if (sink)
        return;
    if (outgoing.peer != peer || outgoing.count == MAX_BATCH)
        flush();
    uint8_t *copy = outgoing.octets + outgoing.count * MINI_OCTETS;
    memcpy(copy, mini, MINI_OCTETS);
    copy[0] = (uint8_t)(route->our_call >> 8);
    copy[1] = (uint8_t)route->our_call;
    outgoing.peer = peer;
    outgoing.frame[outgoing.count++] = (struct pending){route, measuring ? arrived_ns : 0};
    if (!batches)
        flush();
}

/* --- the link --- */

static void to_python(char kind, const uint8_t *datagram, size_t octets,
                      const struct sockaddr_in *source)
{
    uint8_t header[HEADER_OCTETS] = {(uint8_t)kind};
    memcpy(header + 2, &source->sin_port, 2);
    memcpy(header + 4, &source->sin_addr, 4);
    struct iovec parts[] = {{header, sizeof header}, {(void *)datagram, octets}};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
    sendmsg(control_fd, &message, MSG_NOSIGNAL);
}

static void take_full(const uint8_t *datagram, size_t octets, const struct sockaddr_in *source)
{
    counts.full++;
    full_seconds_count(datagram);
    to_python('F', datagram, octets, source);
}

static void take_datagram(const uint8_t *datagram, size_t octets, const struct sockaddr_in *source,
                          uint64_t arrived_ns)
{
    struct peer *peer = find_peer(source);
    if (octets < HEADER_OCTETS)
        counts.other_size++;
    else if (datagram[0] & 0x80)
        take_full(datagram, octets, source);
    else if (octets != MINI_OCTETS)
        counts.other_size++;
    else if (!peer)
        counts.unknown++;
    else
        return_mini(peer, datagram, arrived_ns);
}

/* Size of each datagram in what was received at once; the whole where UDP_GRO joined nothing. */
static size_t segment_octets(struct msghdr *message, size_t received)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c))
        if (c->cmsg_level == SOL_UDP && c->cmsg_type == UDP_GRO) {
            int octets;
            memcpy(&octets, CMSG_DATA(c), sizeof octets);
            return (size_t)octets;
        }
    return received;
}

/* Returns whether anything had come. */
static bool read_link(void)
{
    bool any = false;
    static uint8_t datagrams[1 << 16];
    for (int turn = 0; turn < 1000; turn++) {
        union {
            struct cmsghdr align;
            char octets[CMSG_SPACE(sizeof(struct timespec)) + CMSG_SPACE(sizeof(int))];
        } control;
        struct sockaddr_in source;
        struct iovec part = {datagrams, sizeof datagrams};
        struct msghdr message = {.msg_name = &source, .msg_namelen = sizeof source,
                                 .msg_iov = &part, .msg_iovlen = 1,
                                 .msg_control = &control, .msg_controllen = sizeof control};
        ssize_t received = recvmsg(link_fd, &message, MSG_DONTWAIT);
        if (received <= 0)
            break;
        any = true;
        uint64_t arrived_ns = arrival_ns(&message);
        size_t octets = segment_octets(&message, (size_t)received);
        for (size_t at = 0; at < (size_t)received; at += octets)
            take_datagram(datagrams + at,
                          octets < (size_t)received - at ? octets : (size_t)received - at, &source,
                          arrived_ns);
    }
    flush();
    return any;
}

/* --- Python --- */

static uint16_t number_at(const uint8_t *octets)
{
    return (uint16_t)(octets[0] << 8 | octets[1]);
}

static void obey(const uint8_t *message, size_t octets)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    const uint8_t *body = message + HEADER_OCTETS;
    memcpy(&address.sin_port, message + 2, 2);
    memcpy(&address.sin_addr, message + 4, 4);
    if (message[0] == 'S') {
        if (sendto(link_fd, body, octets - HEADER_OCTETS, 0, (struct sockaddr *)&address,
                   sizeof address) < 0)
            counts.send_failed++;
        return;
    }
    struct peer *peer = find_peer(&address);
    if (!peer)
        peer = add_peer(&address);
    if (message[0] == 'M' && octets == HEADER_OCTETS + 4 + BLOCK_OCTETS)
        map_call(peer, number_at(body), number_at(body + 2), body + 4);
    else if (message[0] == 'U' && octets == HEADER_OCTETS + 2)
        peer->routes[number_at(body) % CALL_NUMBERS].our_call = 0;
}

/* False when Python has gone. */
static bool control_readable(void)
{
    uint8_t message[4096];
    ssize_t octets;
    while ((octets = recv(control_fd, message, sizeof message, MSG_DONTWAIT)) > 0)
        if (octets >= HEADER_OCTETS)
            obey(message, (size_t)octets);
    return octets < 0 && (errno == EAGAIN || errno == EINTR);
}

static void report(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    printf("{\"full\": %llu, \"mini\": %llu, \"measuring\": %llu, \"other_size\": %llu, "
           "\"unknown\": %llu, \"send_failed\": %llu, \"cpu_s\": %.3f, ",
           (unsigned long long)counts.full, (unsigned long long)counts.mini,
           (unsigned long long)counts.measuring, (unsigned long long)counts.other_size,
           (unsigned long long)counts.unknown, (unsigned long long)counts.send_failed,
           (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec)
               + (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6);
    full_seconds_print(stdout);
    printf("}\n");
}

/* --- start --- */

static void open_link(const char *address)
{
    struct sockaddr_in here = {.sin_family = AF_INET};
    char host[INET_ADDRSTRLEN] = "";
    unsigned port = 0;
    int on = 1, octets = SOCKET_OCTETS;
    if (sscanf(address, "%15[0-9.]:%u", host, &port) != 2
        || inet_pton(AF_INET, host, &here.sin_addr) != 1)
        exit(2);
    here.sin_port = htons((uint16_t)port);
    link_fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    setsockopt(link_fd, SOL_SOCKET, SO_RCVBUF, &octets, sizeof octets);
    setsockopt(link_fd, SOL_SOCKET, SO_SNDBUF, &octets, sizeof octets);
    setsockopt(link_fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on);
    if (batches)
        setsockopt(link_fd, SOL_UDP, UDP_GRO, &on, sizeof on);
    if (bind(link_fd, (struct sockaddr *)&here, sizeof here)) {
        perror("far_end: bind");
        exit(1);
    }
}

/* While calls are up the link is read on a tick and not waited for: a gateway would pay for each
 * time that its frame wakes us, which no network would charge it with. The wait is not counted as
 * delay, since the kernel has noted when each frame came. */
static void serve(void)
{
    struct pollfd ready[] = {{.fd = control_fd, .events = POLLIN}, {.fd = link_fd, .events = POLLIN}};
    const struct timespec tick = {.tv_nsec = TICK_NS};
    unsigned quiet_ticks = 0;
    do {
        bool quiet = quiet_ticks >= QUIET_TICKS;
        ppoll(ready, quiet ? 2 : 1, quiet ? NULL : &tick, NULL);
        quiet_ticks = read_link() ? 0 : quiet_ticks + 1;
    } while (!ready[0].revents || control_readable());
}

int main(int count, char **values)
{
    static const struct option names[] = {{"bind", required_argument, NULL, 'b'},
                                          {"control", required_argument, NULL, 'c'},
                                          {"batches", no_argument, NULL, 'g'},
                                          {"sink", no_argument, NULL, 's'},
                                          {NULL, 0, NULL, 0}};
    const char *address = NULL;
    int option;
    while ((option = getopt_long(count, values, "", names, NULL)) != -1)
        switch (option) {
        case 'b': address = optarg; break;
        case 'c': control_fd = atoi(optarg); break;
        case 'g': batches = true; break;
        case 's': sink = true; break;
        default: return 2;
        }
    if (!address || control_fd <= 0)
        return 2;
    open_link(address);
    to_python('R', NULL, 0, &(struct sockaddr_in){0});
    serve();
    report();
    return 0;
}
