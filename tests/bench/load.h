/* The load generator's parts: load.c plans the run, load_sip.c signals, load_media.c sends and
 * checks audio, load_report.c prints what was seen. One thread, one epoll, no locks.
 */
#ifndef LOAD_H
#define LOAD_H

#include <netinet/in.h>

#include "measure.h"

enum call_state { CALL_IDLE, CALL_INVITING, CALL_ESTABLISHED, CALL_ENDING, CALL_ENDED };

enum ending {
    ENDING_NONE,
    ENDING_NORMAL,
    ENDING_REFUSED,      /* a final response of 300 or more */
    ENDING_NO_RESPONSE,  /* no final response to INVITE */
    ENDING_EARLY_BYE,    /* the gateway hung up first, unasked */
    ENDING_NO_BYE,       /* the gateway was to hang up, and did not */
    ENDING_BYE_FAILED,   /* no 200 to our BYE */
    ENDING_UNFINISHED,   /* the deadline of the whole run passed */
    ENDINGS,
};

enum { TAG_SIZE = 128, TARGET_SIZE = 256, MESSAGE_SIZE = 8192, STATUS_CODES = 700 };

enum { SECONDS_MAX = 600 };

/* One second of the clock of the wall, of a --schedule. */
struct second {
    unsigned placed, answered, refused, failed, established; /* the last: at its end */
    uint64_t sent, returned; /* frames that phones sent in it, and that came back at any time */
    struct histogram round_trip;
};

/* One direction pair of audio within the window of measurement. */
struct stream {
    uint32_t first_sequence; /* of the window */
    uint32_t sent;
    uint32_t received;       /* each sequence once */
    uint32_t stamped;        /* of these, the ones that carry the far end's times */
    uint32_t returned_first, returned_last;
    uint32_t last_sequence;
    bool any, any_returned;
    uint8_t *seen;           /* a bit for each sequence of the window */
};

struct call {
    enum call_state state;
    enum ending ending;
    /* signalling */
    double begins_s, ends_s; /* with --schedule */
    int status;
    bool heard;              /* any response yet: stops the retransmission of INVITE */
    unsigned retransmissions;
    uint64_t retransmit_at_ns, request_sent_ns, answered_ns, ended_ns;
    char remote_tag[TAG_SIZE], target[TARGET_SIZE];
    /* media */
    int rtp_fd, rtcp_fd;
    uint16_t rtp_port;
    struct sockaddr_in media;
    uint32_t sequence, ssrc;
    uint64_t next_packet_ns;
    struct stream stream;
};

struct options {
    unsigned calls, rtp_base;
    double rate, hold_s, settle_s, window_s, deadline_s;
    struct sockaddr_in gateway, local;
    const char *prefix;
    char **numbers; /* one for each call, instead of prefix and index */
    const char *schedule;
    bool media, connected, gateway_hangs_up;
};

struct totals {
    unsigned started, open, established_now, established_peak, established_ever;
    unsigned endings[ENDINGS], status[STATUS_CODES], retry_after;
    bool precedence;
    uint64_t sip_retransmissions;
    uint64_t sent, skipped, received, duplicates, reordered, filler, corrupt, foreign, other;
    struct histogram trying, ringing, answer, refusal, bye, late;
    struct histogram phone_to_link, link_to_phone, round_trip;
};

extern struct options options;
extern struct totals totals;
extern struct call *calls;
extern struct second *seconds;
extern uint64_t first_second;

/* The window of measurement. */
extern bool window_begun, window_ended;

/* load.c */
int64_t clock_step_ns(void);
struct second *second_of(uint64_t realtime_ns);
struct second *second_now(void);

/* load_sip.c: times are CLOCK_MONOTONIC */
void sip_open(void);
int sip_fd(void);
void sip_readable(void);
void sip_invite(unsigned index, uint64_t now_ns);
void sip_bye(unsigned index, uint64_t now_ns);
void sip_timers(unsigned index, uint64_t now_ns);
void call_end(struct call *call, enum ending ending, uint64_t now_ns);

/* load_media.c */
void media_init(int epoll_fd);
void media_share_port(void); /* one RTP port for all phones, which are silent and deaf */
bool media_open(unsigned index, uint64_t now_ns);
void media_close(struct call *call);
void media_send_due(unsigned index, uint64_t now_ns);
void media_readable(unsigned index);

/* load_report.c */
void report_event(const char *name);
void report_result(double wall_s);

#endif
