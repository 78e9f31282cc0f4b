/* SIP and RTP load for a gateway: calls at a rate, audio both ways, every frame checked.
 *
 * Two ways to run:
 *   --hold S             each call hangs up S seconds after its answer: set-up and tear-down rates
 *   --settle S --window S  calls stay until all are up; after S seconds to settle, the frames
 *                        sent within the window count; then all hang up, at the rate they came
 *   --schedule FILE      a line for each call, in order: when it is placed and when it hangs up, in
 *                        seconds; what happened in each second of the run is told at the end
 *
 * Standard output: a JSON object a line, {"event": "window_begin"}, {"event": "window_end"} for
 * whoever reads the gateway's CPU clock between them, and at the end {"event": "result", ...}.
 * The far end echoes; one that knows measure.h also tells each frame's one-way delays.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <getopt.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "load.h"

/* SETUP -> SETTLE -> WINDOW -> GRACE (late frames may arrive) -> HANG_UP; others stay in SETUP. */
enum phase { PHASE_SETUP, PHASE_SETTLE, PHASE_WINDOW, PHASE_GRACE, PHASE_HANG_UP };

enum { EVENTS_A_TURN = 256, SIP_TICKS = 10 };
static const uint64_t TICK_NS = 1000000, GRACE_NS = 500000000;

struct options options = {.rate = 25, .settle_s = 2, .rtp_base = 10000, .media = true,
                          .prefix = "9555"};
struct totals totals;
struct call *calls;
struct second *seconds; /* with --schedule */
uint64_t first_second;
bool window_begun, window_ended;

static enum phase phase;
static uint64_t begun_ns, phase_ends_ns, hang_up_ns;
static int64_t clock_offset_ns;
static unsigned first_open; /* calls before this one have ended */
static volatile sig_atomic_t stopped;

static int64_t clock_offset(void)
{
    return (int64_t)(clock_ns(CLOCK_REALTIME) - clock_ns(CLOCK_MONOTONIC));
}

/* Delays are differences of CLOCK_REALTIME: they are wrong by what somebody set it meanwhile. */
int64_t clock_step_ns(void)
{
    return clock_offset() - clock_offset_ns;
}

static uint64_t after(double seconds, uint64_t now_ns)
{
    return now_ns + (uint64_t)(seconds * 1e9);
}

/* --- the plan of a run --- */

static void enter(enum phase next, double seconds, uint64_t now_ns)
{
    phase = next;
    phase_ends_ns = after(seconds, now_ns);
    if (next == PHASE_WINDOW) {
        window_begun = true;
        report_event("window_begin");
    } else if (next == PHASE_GRACE) {
        window_ended = true;
        report_event("window_end");
    } else if (next == PHASE_HANG_UP) {
        hang_up_ns = now_ns;
    }
}

static bool all_set_up(void)
{
    return totals.started == options.calls && totals.established_now == totals.open;
}

static void advance_phase(uint64_t now_ns)
{
    if (options.window_s <= 0)
        return;
    if (phase == PHASE_SETUP && all_set_up())
        enter(PHASE_SETTLE, options.settle_s, now_ns);
    else if (phase == PHASE_SETTLE && now_ns >= phase_ends_ns)
        enter(PHASE_WINDOW, options.window_s, now_ns);
    else if (phase == PHASE_WINDOW && now_ns >= phase_ends_ns)
        enter(PHASE_GRACE, (double)GRACE_NS / 1e9, now_ns);
    else if (phase == PHASE_GRACE && now_ns >= phase_ends_ns)
        enter(PHASE_HANG_UP, 0, now_ns);
}

static double begins_s(unsigned index)
{
    return options.schedule ? calls[index].begins_s : index / options.rate;
}

static void start_due(uint64_t now_ns)
{
    while (totals.started < options.calls && now_ns >= after(begins_s(totals.started), begun_ns))
        sip_invite(totals.started, now_ns);
}

static bool hang_up_due(unsigned index, uint64_t now_ns)
{
    if (options.schedule)
        return now_ns >= after(calls[index].ends_s, begun_ns);
    if (options.window_s > 0)
        return phase == PHASE_HANG_UP && now_ns >= after(index / options.rate, hang_up_ns);
    return now_ns >= after(options.hold_s, calls[index].answered_ns);
}

/* A gateway that is to hang up, and does not within this, counts as a failure. */
static void hang_up(unsigned index, uint64_t now_ns)
{
    if (!options.gateway_hangs_up) {
        sip_bye(index, now_ns);
    } else if (now_ns >= after(options.hold_s + 10, calls[index].answered_ns)) {
        sip_bye(index, now_ns);
        call_end(&calls[index], ENDING_NO_BYE, now_ns);
    }
}

static void each_open_call(uint64_t now_ns, bool sip_tick)
{
    while (first_open < totals.started && calls[first_open].state == CALL_ENDED)
        first_open++;
    for (unsigned i = first_open; i < totals.started; i++) {
        if (calls[i].state == CALL_ESTABLISHED && calls[i].rtp_fd >= 0)
            media_send_due(i, now_ns);
        if (!sip_tick)
            continue;
        sip_timers(i, now_ns);
        if (calls[i].state == CALL_ESTABLISHED && hang_up_due(i, now_ns))
            hang_up(i, now_ns);
    }
}

/* --- what happens in each second --- */

struct second *second_of(uint64_t realtime_ns)
{
    uint64_t number = realtime_ns / 1000000000u - first_second;
    return seconds && number < SECONDS_MAX ? &seconds[number] : NULL;
}

struct second *second_now(void)
{
    return second_of(clock_ns(CLOCK_REALTIME));
}

static void tick(void)
{
    static unsigned ticks;
    uint64_t now_ns = clock_ns(CLOCK_MONOTONIC);
    struct second *second = second_now();
    if (second)
        second->established = totals.established_now;
    start_due(now_ns);
    each_open_call(now_ns, ++ticks % SIP_TICKS == 0);
    advance_phase(now_ns);
}

static bool finished(void)
{
    bool all_ended = totals.started == options.calls && !totals.open;
    return stopped || all_ended
        || clock_ns(CLOCK_MONOTONIC) >= after(options.deadline_s, begun_ns);
}

/* --- the loop --- */

static int tick_timer(void)
{
    int fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    struct itimerspec every = {{0, (long)TICK_NS}, {0, (long)TICK_NS}};
    timerfd_settime(fd, 0, &every, NULL);
    return fd;
}

/* RTP is read on the tick and never waited for: a gateway would pay for each time that its packet
 * wakes us, which no network would charge it with. The kernel has noted when each packet came. */
static void read_media(int rtp_epoll)
{
    struct epoll_event events[EVENTS_A_TURN];
    int count;
    do {
        count = epoll_wait(rtp_epoll, events, EVENTS_A_TURN, 0);
        for (int i = 0; i < count; i++)
            media_readable(events[i].data.u32);
    } while (count == EVENTS_A_TURN);
}

static void run(void)
{
    int rtp_epoll = epoll_create1(EPOLL_CLOEXEC), timer_fd = tick_timer();
    sip_open();
    media_init(rtp_epoll);
    if (!options.media)
        media_share_port();
    struct pollfd ready[] = {{.fd = sip_fd(), .events = POLLIN}, {.fd = timer_fd, .events = POLLIN}};
    clock_offset_ns = clock_offset();
    begun_ns = clock_ns(CLOCK_MONOTONIC);
    while (!finished()) {
        uint64_t expirations;
        poll(ready, 2, 1000);
        if (ready[0].revents)
            sip_readable();
        if (ready[1].revents && read(timer_fd, &expirations, sizeof expirations) > 0) {
            tick();
            read_media(rtp_epoll);
        }
    }
}

/* --- the command line --- */

static void usage(void)
{
    fprintf(stderr,
            "load --calls N --gateway HOST:PORT --local HOST:PORT [--rate CALLS_A_SECOND]\n"
            "     (--hold S | --window S [--settle S] | --schedule FILE)\n"
            "     [--prefix DIGITS | --numbers FILE]\n"
            "     [--rtp-base PORT]"
            " [--no-media] [--connected] [--gateway-hangs-up] [--deadline S]\n");
    exit(2);
}

static struct sockaddr_in address_of(const char *text)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    char host[INET_ADDRSTRLEN] = "";
    unsigned port = 0;
    if (sscanf(text, "%15[0-9.]:%u", host, &port) != 2
        || inet_pton(AF_INET, host, &address.sin_addr) != 1)
        usage();
    address.sin_port = htons((uint16_t)port);
    return address;
}

/* What each call dials, a line each; to be given after --calls. */
static char **numbers_of(const char *path)
{
    FILE *file = fopen(path, "r");
    char **numbers = calloc(options.calls, sizeof *numbers);
    size_t room;
    for (unsigned i = 0; file && numbers && i < options.calls; i++) {
        room = 0;
        if (getline(&numbers[i], &room, file) < 0)
            usage();
        numbers[i][strcspn(numbers[i], "\r\n")] = 0;
    }
    if (!file || !numbers)
        usage();
    fclose(file);
    return numbers;
}

/* When each call begins and ends, a line each. */
static void read_schedule(void)
{
    FILE *file = fopen(options.schedule, "r");
    for (unsigned i = 0; file && i < options.calls; i++)
        if (fscanf(file, "%lf %lf", &calls[i].begins_s, &calls[i].ends_s) != 2)
            usage();
    if (!file)
        usage();
    fclose(file);
    for (unsigned i = 0; i < options.calls; i++)
        if (calls[i].ends_s > options.hold_s)
            options.hold_s = calls[i].ends_s; /* for the deadline, and the size of what is seen */
    seconds = calloc(SECONDS_MAX, sizeof *seconds);
    first_second = clock_ns(CLOCK_REALTIME) / 1000000000u;
}

static void set_option(int option, const char *value)
{
    switch (option) {
    case 'c': options.calls = (unsigned)atoi(value); break;
    case 'g': options.gateway = address_of(value); break;
    case 'l': options.local = address_of(value); break;
    case 'r': options.rate = atof(value); break;
    case 'h': options.hold_s = atof(value); break;
    case 'w': options.window_s = atof(value); break;
    case 's': options.settle_s = atof(value); break;
    case 'p': options.prefix = value; break;
    case 'n': options.numbers = numbers_of(value); break;
    case 't': options.schedule = value; break;
    case 'b': options.rtp_base = (unsigned)atoi(value); break;
    case 'd': options.deadline_s = atof(value); break;
    case 'm': options.media = false; break;
    case 'o': options.connected = true; break;
    case 'y': options.gateway_hangs_up = true; break;
    default: usage();
    }
}

static void parse_options(int count, char **values)
{
    static const struct option names[] = {
        {"calls", required_argument, NULL, 'c'},    {"gateway", required_argument, NULL, 'g'},
        {"local", required_argument, NULL, 'l'},    {"rate", required_argument, NULL, 'r'},
        {"hold", required_argument, NULL, 'h'},     {"window", required_argument, NULL, 'w'},
        {"settle", required_argument, NULL, 's'},   {"prefix", required_argument, NULL, 'p'},
        {"numbers", required_argument, NULL, 'n'},  {"schedule", required_argument, NULL, 't'},
        {"rtp-base", required_argument, NULL, 'b'}, {"deadline", required_argument, NULL, 'd'},
        {"no-media", no_argument, NULL, 'm'},       {"connected", no_argument, NULL, 'o'},
        {"gateway-hangs-up", no_argument, NULL, 'y'}, {NULL, 0, NULL, 0}};
    int option;
    while ((option = getopt_long(count, values, "", names, NULL)) != -1)
        set_option(option, optarg);
    if (!options.calls || !options.gateway.sin_port || !options.local.sin_port
        || (options.hold_s > 0) + (options.window_s > 0) + !!options.schedule != 1
        || options.rate <= 0)
        usage();
}

static void set_deadline(void)
{
    if (options.deadline_s <= 0)
        options.deadline_s = 2 * options.calls / options.rate + options.hold_s + options.settle_s
            + options.window_s + 45;
}

static void stop(int signal_number)
{
    (void)signal_number;
    stopped = 1;
}

/* Two sockets a call. */
static void allow_sockets(void)
{
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
}

/* The load stands for other machines. It keeps to the last core, as the far end does, and leaves
 * the others to the gateway, whose work it would else interrupt a thousand times a second. Where we
 * may (root), it goes first there, so that a gateway which takes all cores with hundreds of threads
 * shows by its own delays and not by ours; before the far end, too, which would make phones late. */
static void stand_aside(void)
{
    struct sched_param before_far_end = {.sched_priority = 2};
    cpu_set_t cores;
    int last = CPU_SETSIZE - 1;
    sched_getaffinity(0, sizeof cores, &cores);
    while (last > 0 && !CPU_ISSET(last, &cores))
        last--;
    CPU_ZERO(&cores);
    CPU_SET(last, &cores);
    sched_setaffinity(0, sizeof cores, &cores);
    totals.precedence = !sched_setscheduler(0, SCHED_RR, &before_far_end);
}

int main(int count, char **values)
{
    parse_options(count, values);
    allow_sockets();
    stand_aside();
    signal(SIGTERM, stop);
    signal(SIGINT, stop);
    calls = calloc(options.calls, sizeof *calls);
    if (!calls)
        return 1;
    if (options.schedule)
        read_schedule();
    set_deadline();
    run();
    uint64_t now_ns = clock_ns(CLOCK_MONOTONIC);
    for (unsigned i = 0; i < totals.started; i++)
        call_end(&calls[i], ENDING_UNFINISHED, now_ns);
    report_result((double)(now_ns - begun_ns) / 1e9);
    return 0;
}
