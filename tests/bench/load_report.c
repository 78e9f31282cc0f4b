/* What the load generator saw: one JSON object a line on standard output. */
#include <stdio.h>
#include <sys/resource.h>

#include "load.h"

static const char *const ENDING_NAMES[ENDINGS] = {
    [ENDING_NORMAL] = "normal",         [ENDING_REFUSED] = "refused",
    [ENDING_NO_RESPONSE] = "no_response", [ENDING_EARLY_BYE] = "early_bye",
    [ENDING_NO_BYE] = "no_bye",         [ENDING_BYE_FAILED] = "bye_failed",
    [ENDING_UNFINISHED] = "unfinished",
};

void report_event(const char *name)
{
    printf("{\"event\": \"%s\", \"established\": %u, \"started\": %u}\n", name,
           totals.established_now, totals.started);
    fflush(stdout);
}

static void print_number(const char *name, uint64_t value)
{
    printf("\"%s\": %llu, ", name, (unsigned long long)value);
}

/* Lost on the way back: numbers of the far end that never came. The rest was lost on the way out. */
static void print_losses(void)
{
    uint64_t lost = totals.sent - totals.received, lost_back = 0;
    bool stamped = false;
    for (unsigned i = 0; i < totals.started; i++) {
        const struct stream *stream = &calls[i].stream;
        if (!stream->any_returned)
            continue;
        stamped = true;
        lost_back += stream->returned_last - stream->returned_first + 1 - stream->stamped;
    }
    print_number("lost", lost);
    if (!stamped) {
        printf("\"lost_phone_to_link\": null, \"lost_link_to_phone\": null, ");
        return;
    }
    print_number("lost_phone_to_link", lost > lost_back ? lost - lost_back : 0);
    print_number("lost_link_to_phone", lost_back);
}

static void print_media(void)
{
    printf("\"media\": {");
    print_number("sent", totals.sent);
    print_number("received", totals.received);
    print_losses();
    print_number("skipped", totals.skipped);
    print_number("duplicates", totals.duplicates);
    print_number("reordered", totals.reordered);
    print_number("filler", totals.filler);
    print_number("corrupt", totals.corrupt);
    print_number("foreign", totals.foreign);
    print_number("other", totals.other);
    histogram_print(stdout, "phone_to_link_ms", &totals.phone_to_link);
    printf(", ");
    histogram_print(stdout, "link_to_phone_ms", &totals.link_to_phone);
    printf(", ");
    histogram_print(stdout, "round_trip_ms", &totals.round_trip);
    printf(", ");
    histogram_print(stdout, "load_late_ms", &totals.late);
    printf("}, ");
}

static void print_endings(void)
{
    const char *comma = "";
    printf("\"endings\": {");
    for (unsigned i = ENDING_NORMAL; i < ENDINGS; i++, comma = ", ")
        printf("%s\"%s\": %u", comma, ENDING_NAMES[i], totals.endings[i]);
    printf("}, \"status\": {");
    comma = "";
    for (unsigned i = 0; i < STATUS_CODES; i++)
        if (totals.status[i]) {
            printf("%s\"%u\": %u", comma, i, totals.status[i]);
            comma = ", ";
        }
    printf("}, ");
}

static void print_signalling(void)
{
    print_number("started", totals.started);
    print_number("established", totals.established_ever);
    print_number("peak", totals.established_peak);
    print_number("sip_retransmissions", totals.sip_retransmissions);
    print_number("retry_after", totals.retry_after);
    print_endings();
    histogram_print(stdout, "trying_ms", &totals.trying);
    printf(", ");
    histogram_print(stdout, "ringing_ms", &totals.ringing);
    printf(", ");
    histogram_print(stdout, "answer_ms", &totals.answer);
    printf(", ");
    histogram_print(stdout, "refusal_ms", &totals.refusal);
    printf(", ");
    histogram_print(stdout, "bye_ms", &totals.bye);
    printf(", ");
}

/* The seconds up to the last one in which anything was sent or ended. */
static void print_seconds(void)
{
    unsigned last = SECONDS_MAX;
    while (last > 0 && !seconds[last - 1].established && !seconds[last - 1].placed)
        last--;
    print_number("first_second", first_second);
    printf("\"seconds\": [");
    for (unsigned i = 0; i < last; i++) {
        const struct second *s = &seconds[i];
        printf("%s{\"placed\": %u, \"answered\": %u, \"refused\": %u, \"failed\": %u, "
               "\"established\": %u, \"sent\": %llu, \"returned\": %llu, ",
               i ? ", " : "", s->placed, s->answered, s->refused, s->failed, s->established,
               (unsigned long long)s->sent, (unsigned long long)s->returned);
        histogram_print(stdout, "round_trip_ms", &s->round_trip);
        printf("}");
    }
    printf("], ");
}

void report_result(double wall_s)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    printf("{\"event\": \"result\", ");
    print_signalling();
    if (options.media)
        print_media();
    if (options.schedule)
        print_seconds();
    printf("\"clock_step_ns\": %lld, ", (long long)clock_step_ns());
    printf("\"precedence\": %s, ", totals.precedence ? "true" : "false");
    printf("\"load_cpu_s\": %.3f, \"wall_s\": %.3f}\n",
           (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec)
               + (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6,
           wall_s);
    fflush(stdout);
}
