/* Audio of the load generator: a phone's RTP on its own clock, and the check of what comes back. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "load.h"

enum {
    RTP_HEADER_OCTETS = 12,
    PACKET_OCTETS = RTP_HEADER_OCTETS + PAYLOAD_OCTETS,
    PCMU = 0,
    NOISE_TABLE_OCTETS = 1 << 16,
    RECEIVE_BUFFER_OCTETS = 1 << 18,
    /* A phone that was held up for longer than this starts its clock anew instead of bursting. */
    MAX_CATCH_UP_NS = 100000000,
};

/* What a call of --hold does not count at its begin and its end. */
static const double EDGE_S = 0.5;

static int media_epoll = -1;
static uint8_t noise_table[NOISE_TABLE_OCTETS + NOISE_OCTETS];

void media_init(int epoll_fd)
{
    media_epoll = epoll_fd;
    uint32_t state = 1;
    for (size_t i = 0; i < sizeof noise_table; i++) {
        state = state * 1664525u + 1013904223u;
        noise_table[i] = (uint8_t)(state >> 24);
    }
}

/* What fills a frame before its last two blocks; differs from frame to frame and call to call. */
static const uint8_t *noise(unsigned call, uint32_t sequence)
{
    return noise_table + (call * 4099u + sequence * 131u) % NOISE_TABLE_OCTETS;
}

static int bound_socket(uint16_t port, int receive_octets)
{
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = options.local;
    address.sin_port = htons(port);
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive_octets, sizeof receive_octets);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address)) {
        perror("load: RTP socket");
        exit(1);
    }
    return fd;
}

/* Never read: it only keeps what the gateway sends from being answered with ICMP errors, which
 * would cost the gateway's core. */
static int deaf_socket(unsigned port)
{
    return bound_socket((uint16_t)port, 1);
}

void media_share_port(void)
{
    deaf_socket(options.rtp_base);
    deaf_socket(options.rtp_base + 1);
}

bool media_open(unsigned index, uint64_t now_ns)
{
    struct call *call = &calls[index];
    int on = 1;
    call->rtp_fd = bound_socket(call->rtp_port, RECEIVE_BUFFER_OCTETS);
    call->rtcp_fd = deaf_socket(call->rtp_port + 1u);
    setsockopt(call->rtp_fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on);
    if (options.connected
        && connect(call->rtp_fd, (struct sockaddr *)&call->media, sizeof call->media))
        return false;
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = index};
    epoll_ctl(media_epoll, EPOLL_CTL_ADD, call->rtp_fd, &event);
    /* Phones are not in step: the golden ratio spreads any number of them over the 20 ms. */
    double phase = index * 0.6180339887;
    phase -= (double)(unsigned)phase;
    call->next_packet_ns = now_ns + (uint64_t)(phase * FRAME_MS * 1e6);
    call->ssrc = 0x51A80000u + index;
    size_t window_frames = (size_t)((options.window_s + options.hold_s + 1) * 1000 / FRAME_MS);
    call->stream.seen = calloc(window_frames / 8 + 64, 1);
    return call->stream.seen != NULL;
}

void media_close(struct call *call)
{
    if (call->rtp_fd < 0)
        return;
    close(call->rtp_fd);
    close(call->rtcp_fd);
    call->rtp_fd = call->rtcp_fd = -1;
}

/* With --window the frames between its marks count; with --hold all but those at a call's edges,
 * where one side is up before the other. Frames that count are consecutive in each call. */
static bool counts_now(const struct call *call)
{
    if (options.window_s > 0)
        return window_begun && !window_ended;
    if (options.schedule)
        return call->state == CALL_ESTABLISHED;
    double held_s = (double)(clock_ns(CLOCK_MONOTONIC) - call->answered_ns) / 1e9;
    return held_s > EDGE_S && held_s < options.hold_s - EDGE_S;
}

static void count_sent(struct call *call)
{
    struct stream *stream = &call->stream;
    if (!counts_now(call))
        return;
    if (!stream->sent)
        stream->first_sequence = call->sequence;
    stream->sent++;
    totals.sent++;
    struct second *second = second_now();
    if (second)
        second->sent++;
}

static void send_frame(unsigned index)
{
    struct call *call = &calls[index];
    uint8_t packet[PACKET_OCTETS] = {0x80, PCMU};
    uint16_t rtp_sequence = htons((uint16_t)call->sequence);
    uint32_t timestamp = htonl(call->sequence * PAYLOAD_OCTETS), ssrc = htonl(call->ssrc);
    memcpy(packet + 2, &rtp_sequence, 2);
    memcpy(packet + 4, &timestamp, 4);
    memcpy(packet + 8, &ssrc, 4);
    memcpy(packet + RTP_HEADER_OCTETS, noise(index, call->sequence), NOISE_OCTETS);
    struct sent_block block = {.mark = MEASURE_MARK, .call = (uint16_t)index,
                               .sequence = call->sequence};
    block.sent_ns = clock_ns(CLOCK_REALTIME);
    memcpy(packet + RTP_HEADER_OCTETS + NOISE_OCTETS, &block, sizeof block);
    if (options.connected)
        send(call->rtp_fd, packet, sizeof packet, 0);
    else
        sendto(call->rtp_fd, packet, sizeof packet, 0, (struct sockaddr *)&call->media,
               sizeof call->media);
    /* Counted even where the kernel refused it: a phone's packet is lost all the same. */
    count_sent(call);
    call->sequence++;
}

void media_send_due(unsigned index, uint64_t now_ns)
{
    struct call *call = &calls[index];
    if (now_ns > call->next_packet_ns + MAX_CATCH_UP_NS) {
        uint64_t frames = (now_ns - call->next_packet_ns) / (FRAME_MS * 1000000u);
        totals.skipped += frames;
        call->next_packet_ns += frames * FRAME_MS * 1000000u;
    }
    while (now_ns >= call->next_packet_ns) {
        if (counts_now(call))
            histogram_add(&totals.late, now_ns - call->next_packet_ns);
        send_frame(index);
        call->next_packet_ns += FRAME_MS * 1000000u;
    }
}

static void count_returned(struct stream *stream, uint32_t returned)
{
    if (!stream->any_returned)
        stream->returned_first = stream->returned_last = returned;
    stream->any_returned = true;
    if ((int32_t)(returned - stream->returned_last) > 0)
        stream->returned_last = returned;
    if ((int32_t)(returned - stream->returned_first) < 0)
        stream->returned_first = returned;
}

static void count_delays(struct stream *stream, const struct sent_block *sent,
                         const struct echo_block *echo, uint64_t received_ns)
{
    histogram_add(&totals.round_trip, received_ns - sent->sent_ns);
    if (!echo->arrived_ns)
        return;
    uint64_t returned_ns = echo->arrived_ns + echo->held_ns;
    /* The kernel stamps before we do: a frame cannot have arrived before it left. */
    uint64_t out = echo->arrived_ns > sent->sent_ns ? echo->arrived_ns - sent->sent_ns : 0;
    uint64_t back = received_ns > returned_ns ? received_ns - returned_ns : 0;
    histogram_add(&totals.phone_to_link, out);
    histogram_add(&totals.link_to_phone, back);
    stream->stamped++;
    count_returned(stream, echo->returned);
}

static void count_received(struct stream *stream, const struct sent_block *sent,
                           const struct echo_block *echo, uint64_t received_ns)
{
    uint32_t place = sent->sequence - stream->first_sequence;
    if (place >= stream->sent)
        return;
    if (stream->seen[place / 8] & (1u << place % 8)) {
        totals.duplicates++;
        return;
    }
    stream->seen[place / 8] |= (uint8_t)(1u << place % 8);
    if (stream->any && (int32_t)(sent->sequence - stream->last_sequence) < 0)
        totals.reordered++;
    else
        stream->last_sequence = sent->sequence;
    stream->any = true;
    stream->received++;
    totals.received++;
    struct second *second = second_of(sent->sent_ns);
    if (second) {
        second->returned++;
        histogram_add(&second->round_trip, received_ns - sent->sent_ns);
    }
    count_delays(stream, sent, echo, received_ns);
}

static void check_payload(unsigned index, const uint8_t *payload, uint64_t received_ns)
{
    struct sent_block sent;
    struct echo_block echo;
    memcpy(&sent, payload + NOISE_OCTETS, sizeof sent);
    memcpy(&echo, payload + NOISE_OCTETS + BLOCK_OCTETS, sizeof echo);
    if (sent.mark != MEASURE_MARK) {
        /* The gateway's own: silence where the phone's frame was late, or a tone. */
        totals.filler += counts_now(&calls[index]);
        return;
    }
    if (sent.call != index)
        totals.foreign++;
    else if (memcmp(payload, noise(index, sent.sequence), NOISE_OCTETS))
        totals.corrupt++;
    else
        count_received(&calls[index].stream, &sent, &echo, received_ns);
}

void media_readable(unsigned index)
{
    uint8_t packet[2048];
    union {
        struct cmsghdr align;
        char octets[CMSG_SPACE(sizeof(struct timespec))];
    } control;
    struct iovec part = {packet, sizeof packet};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = &control,
                             .msg_controllen = sizeof control};
    ssize_t octets = recvmsg(calls[index].rtp_fd, &message, 0);
    if (octets < 0)
        return;
    bool rtp = octets == PACKET_OCTETS && packet[0] >> 6 == 2 && (packet[1] & 0x7f) == PCMU;
    if (rtp)
        check_payload(index, packet + RTP_HEADER_OCTETS, arrival_ns(&message));
    else
        totals.other += counts_now(&calls[index]);
}
