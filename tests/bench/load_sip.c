/* Signalling of the load generator: a phone behind one UDP socket, RFC 3261 section 17.1 timers. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <unistd.h>

#include "load.h"

static const uint64_t T1_NS = 500000000, T2_NS = 4000000000, TIMEOUT_NS = 32000000000;
enum { SOCKET_OCTETS = 4 << 20, INVITE_CSEQ = 1, BYE_CSEQ = 2 };

static int fd = -1;
static unsigned run_id; /* tells this run's calls from a former one's stragglers */
static char local_host[INET_ADDRSTRLEN], gateway_host[INET_ADDRSTRLEN];

struct text {
    char octets[MESSAGE_SIZE];
    int length;
};

/* A header's value within a message that ends with NUL. */
struct value {
    const char *start;
    int length;
};

int sip_fd(void)
{
    return fd;
}

void sip_open(void)
{
    int octets = SOCKET_OCTETS;
    run_id = (unsigned)getpid();
    inet_ntop(AF_INET, &options.local.sin_addr, local_host, sizeof local_host);
    inet_ntop(AF_INET, &options.gateway.sin_addr, gateway_host, sizeof gateway_host);
    fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &octets, sizeof octets);
    if (fd < 0 || bind(fd, (struct sockaddr *)&options.local, sizeof options.local)) {
        perror("load: SIP socket");
        exit(1);
    }
}

__attribute__((format(printf, 2, 3))) static void append(struct text *text, const char *format, ...)
{
    va_list arguments;
    int room = MESSAGE_SIZE - text->length;
    va_start(arguments, format);
    int wanted = vsnprintf(text->octets + text->length, (size_t)room, format, arguments);
    va_end(arguments);
    text->length += wanted < room ? wanted : room - 1;
}

static void transmit(const struct text *text, const struct sockaddr_in *to)
{
    sendto(fd, text->octets, (size_t)text->length, 0, (const struct sockaddr *)to, sizeof *to);
}

/* --- requests --- */

static const char *called(unsigned index)
{
    static char user[TARGET_SIZE];
    if (options.numbers)
        return options.numbers[index];
    snprintf(user, sizeof user, "%s%04u", options.prefix, index % 10000);
    return user;
}

static void append_request(struct text *text, unsigned index, const char *method, int cseq,
                           int branch, const char *target)
{
    const struct call *call = &calls[index];
    unsigned port = ntohs(options.local.sin_port);
    append(text, "%s %s SIP/2.0\r\n", method, target);
    append(text, "Via: SIP/2.0/UDP %s:%u;rport;branch=z9hG4bK-%u-%u-%d\r\n", local_host, port,
           run_id, index, branch);
    append(text, "Max-Forwards: 70\r\n");
    append(text, "From: <sip:phone-%u@%s:%u>;tag=f%u-%u\r\n", index, local_host, port, run_id,
           index);
    append(text, "To: <sip:%s@%s>%s%s\r\n", called(index), gateway_host,
           call->remote_tag[0] ? ";tag=" : "", call->remote_tag);
    append(text, "Call-ID: %u-%u@%s\r\n", index, run_id, local_host);
    append(text, "CSeq: %d %s\r\n", cseq, method);
}

static void request_uri(unsigned index, char uri[TARGET_SIZE])
{
    snprintf(uri, TARGET_SIZE, "sip:%s@%s:%u", called(index), gateway_host,
             ntohs(options.gateway.sin_port));
}

static void send_invite(unsigned index)
{
    struct text text = {.length = 0}, sdp = {.length = 0};
    char uri[TARGET_SIZE];
    append(&sdp, "v=0\r\no=- %u 1 IN IP4 %s\r\ns=-\r\nc=IN IP4 %s\r\nt=0 0\r\n", index + 1,
           local_host, local_host);
    append(&sdp, "m=audio %u RTP/AVP 0 101\r\na=rtpmap:0 PCMU/8000\r\n", calls[index].rtp_port);
    append(&sdp, "a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=ptime:20\r\n");
    request_uri(index, uri);
    append_request(&text, index, "INVITE", INVITE_CSEQ, 1, uri);
    append(&text, "Contact: <sip:phone-%u@%s:%u>\r\n", index, local_host,
           ntohs(options.local.sin_port));
    append(&text, "Allow: INVITE, ACK, CANCEL, BYE, OPTIONS\r\nContent-Type: application/sdp\r\n");
    append(&text, "Content-Length: %d\r\n\r\n%s", sdp.length, sdp.octets);
    transmit(&text, &options.gateway);
}

static void send_simple(unsigned index, const char *method, int cseq, int branch,
                        const char *target)
{
    struct text text = {.length = 0};
    append_request(&text, index, method, cseq, branch, target);
    append(&text, "Content-Length: 0\r\n\r\n");
    transmit(&text, &options.gateway);
}

/* The ACK of a refusal belongs to the INVITE's transaction; that of a 200 is one of its own. */
static void send_ack(unsigned index, int status)
{
    char uri[TARGET_SIZE];
    request_uri(index, uri);
    if (status < 300)
        send_simple(index, "ACK", INVITE_CSEQ, 2, calls[index].target);
    else
        send_simple(index, "ACK", INVITE_CSEQ, 1, uri);
}

/* --- a call's life --- */

void call_end(struct call *call, enum ending ending, uint64_t now_ns)
{
    if (call->state == CALL_ENDED)
        return;
    if (call->state == CALL_ESTABLISHED || call->state == CALL_ENDING)
        totals.established_now--;
    media_close(call);
    call->state = CALL_ENDED;
    call->ending = ending;
    call->ended_ns = now_ns;
    totals.endings[ending]++;
    totals.open--;
    struct second *second = second_now();
    if (second && ending == ENDING_REFUSED)
        second->refused++;
    else if (second && ending != ENDING_NORMAL)
        second->failed++;
}

void sip_invite(unsigned index, uint64_t now_ns)
{
    struct call *call = &calls[index];
    call->state = CALL_INVITING;
    call->request_sent_ns = now_ns;
    call->retransmit_at_ns = now_ns + T1_NS;
    call->rtp_port = (uint16_t)(options.rtp_base + (options.media ? 2 * (index % 10000) : 0));
    call->rtp_fd = call->rtcp_fd = -1;
    totals.started++;
    totals.open++;
    struct second *second = second_now();
    if (second)
        second->placed++;
    send_invite(index);
}

void sip_bye(unsigned index, uint64_t now_ns)
{
    struct call *call = &calls[index];
    call->state = CALL_ENDING;
    call->request_sent_ns = now_ns;
    call->retransmit_at_ns = now_ns + T1_NS;
    call->retransmissions = 0;
    send_simple(index, "BYE", BYE_CSEQ, 3, call->target);
}

static void retransmit(unsigned index, uint64_t now_ns)
{
    struct call *call = &calls[index];
    uint64_t interval_ns = T1_NS << ++call->retransmissions;
    bool bye = call->state == CALL_ENDING;
    totals.sip_retransmissions++;
    if (bye)
        send_simple(index, "BYE", BYE_CSEQ, 3, call->target);
    else
        send_invite(index);
    call->retransmit_at_ns = now_ns + (bye && interval_ns > T2_NS ? T2_NS : interval_ns);
}

void sip_timers(unsigned index, uint64_t now_ns)
{
    struct call *call = &calls[index];
    bool inviting = call->state == CALL_INVITING;
    if (!inviting && call->state != CALL_ENDING)
        return;
    if (now_ns - call->request_sent_ns > TIMEOUT_NS)
        call_end(call, inviting ? ENDING_NO_RESPONSE : ENDING_BYE_FAILED, now_ns);
    else if (!(inviting && call->heard) && now_ns >= call->retransmit_at_ns)
        retransmit(index, now_ns);
}

/* --- what the gateway says --- */

static struct value header(const char *message, const char *name, char compact)
{
    size_t octets = strlen(name);
    for (const char *line = strstr(message, "\r\n"); line && line[2] != '\r';
         line = strstr(line + 2, "\r\n")) {
        const char *start = line + 2;
        bool full = !strncasecmp(start, name, octets) && start[octets] == ':';
        if (!full && !(start[0] == compact && start[1] == ':'))
            continue;
        start += full ? octets + 1 : 2;
        while (*start == ' ')
            start++;
        const char *end = strstr(start, "\r\n");
        return (struct value){start, end ? (int)(end - start) : 0};
    }
    return (struct value){"", 0};
}

static void copy_until(char *to, int size, const char *from, const char *stops)
{
    int length = (int)strcspn(from, stops);
    snprintf(to, (size_t)size, "%.*s", length < size ? length : size - 1, from);
}

static void learn_remote(struct call *call, const char *message, unsigned index)
{
    struct value to = header(message, "To", 't'), contact = header(message, "Contact", 'm');
    const char *tag = memmem(to.start, (size_t)to.length, "tag=", 4);
    const char *uri = memchr(contact.start, '<', (size_t)contact.length);
    if (tag)
        copy_until(call->remote_tag, TAG_SIZE, tag + 4, "; \r");
    if (uri)
        copy_until(call->target, TARGET_SIZE, uri + 1, ">\r");
    else
        request_uri(index, call->target);
}

static bool learn_media(struct call *call, const char *message)
{
    const char *connection = strstr(message, "\nc=IN IP4 "), *audio = strstr(message, "\nm=audio ");
    char host[INET_ADDRSTRLEN];
    if (!connection || !audio)
        return false;
    copy_until(host, sizeof host, connection + 10, " /\r");
    call->media.sin_family = AF_INET;
    call->media.sin_port = htons((uint16_t)atoi(audio + 9));
    return call->media.sin_port && inet_pton(AF_INET, host, &call->media.sin_addr) == 1;
}

static void established(unsigned index, const char *message, uint64_t now_ns)
{
    struct call *call = &calls[index];
    learn_remote(call, message, index);
    send_ack(index, 200);
    if (call->state != CALL_INVITING)
        return; /* a repeated 200: its ACK was lost */
    histogram_add(&totals.answer, now_ns - call->request_sent_ns);
    call->state = CALL_ESTABLISHED;
    call->answered_ns = now_ns;
    totals.status[200]++;
    totals.established_ever++;
    struct second *second = second_now();
    if (second)
        second->answered++;
    if (++totals.established_now > totals.established_peak)
        totals.established_peak = totals.established_now;
    if (options.media && !(learn_media(call, message) && media_open(index, now_ns)))
        fprintf(stderr, "load: call %u was answered without usable media\n", index);
}

static void invite_response(unsigned index, int status, const char *message, uint64_t now_ns)
{
    struct call *call = &calls[index];
    uint64_t waited_ns = now_ns - call->request_sent_ns;
    if (call->state == CALL_INVITING) {
        if (!call->heard)
            histogram_add(&totals.trying, waited_ns);
        if (status > 100 && status < 200 && call->status <= 100)
            histogram_add(&totals.ringing, waited_ns);
        call->heard = true;
        call->status = status;
    }
    if (status < 200)
        return;
    if (status < 300) {
        established(index, message, now_ns);
        return;
    }
    learn_remote(call, message, index);
    send_ack(index, status);
    if (call->state == CALL_INVITING) {
        totals.status[status < STATUS_CODES ? status : 0]++;
        totals.retry_after += header(message, "Retry-After", 0).length > 0;
        histogram_add(&totals.refusal, waited_ns);
        call_end(call, ENDING_REFUSED, now_ns);
    }
}

static void response(unsigned index, const char *message, uint64_t now_ns)
{
    struct call *call = &calls[index];
    struct value cseq = header(message, "CSeq", 0);
    int status = atoi(message + strlen("SIP/2.0 "));
    if (memmem(cseq.start, (size_t)cseq.length, "INVITE", 6)) {
        invite_response(index, status, message, now_ns);
    } else if (status >= 200 && call->state == CALL_ENDING) {
        histogram_add(&totals.bye, now_ns - call->request_sent_ns);
        call_end(call, status < 300 ? ENDING_NORMAL : ENDING_BYE_FAILED, now_ns);
    }
}

static void answer_request(const char *message, const char *status,
                           const struct sockaddr_in *source)
{
    static const struct { const char *name; char compact; } copied[] = {
        {"Via", 'v'}, {"From", 'f'}, {"To", 't'}, {"Call-ID", 'i'}, {"CSeq", 0}};
    struct text text = {.length = 0};
    append(&text, "SIP/2.0 %s\r\n", status);
    for (unsigned i = 0; i < sizeof copied / sizeof *copied; i++) {
        struct value value = header(message, copied[i].name, copied[i].compact);
        append(&text, "%s: %.*s\r\n", copied[i].name, value.length, value.start);
    }
    append(&text, "Content-Length: 0\r\n\r\n");
    transmit(&text, source);
}

static void request(unsigned index, const char *message, const struct sockaddr_in *source,
                    uint64_t now_ns)
{
    if (!strncmp(message, "ACK ", 4))
        return;
    bool bye = !strncmp(message, "BYE ", 4);
    bool known = bye || !strncmp(message, "OPTIONS ", 8) || !strncmp(message, "UPDATE ", 7);
    answer_request(message, known ? "200 OK" : "501 Not Implemented", source);
    if (!bye || index >= options.calls)
        return;
    struct call *call = &calls[index];
    if (call->state == CALL_ENDING || (call->state == CALL_ESTABLISHED && options.gateway_hangs_up))
        call_end(call, ENDING_NORMAL, now_ns);
    else if (call->state == CALL_ESTABLISHED)
        call_end(call, ENDING_EARLY_BYE, now_ns);
}

void sip_readable(void)
{
    char message[MESSAGE_SIZE];
    struct sockaddr_in source;
    socklen_t source_octets = sizeof source;
    ssize_t octets;
    while ((octets = recvfrom(fd, message, sizeof message - 1, 0, (struct sockaddr *)&source,
                              &source_octets)) > 0) {
        uint64_t now_ns = clock_ns(CLOCK_MONOTONIC);
        unsigned index = options.calls, run = 0;
        message[octets] = 0;
        struct value call_id = header(message, "Call-ID", 'i');
        bool ours = sscanf(call_id.start, "%u-%u@", &index, &run) == 2 && run == run_id
            && index < totals.started;
        if (strncmp(message, "SIP/2.0 ", 8))
            request(ours ? index : options.calls, message, &source, now_ns);
        else if (ours)
            response(index, message, now_ns);
        source_octets = sizeof source;
    }
}
