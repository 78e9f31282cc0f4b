/* Full frames in each second of the clock of the wall, as the load counts its own seconds. */
#ifndef FULL_SECONDS_H
#define FULL_SECONDS_H

#include "measure.h"

enum { FULL_SECONDS_MAX = 1200 };

static struct {
    uint64_t first;
    unsigned used;
    struct {
        unsigned full, again;
    } second[FULL_SECONDS_MAX];
} full_seconds;

/* The first bit of octet 2 tells a frame that was sent before (RFC 5456 section 8.1.1). */
static inline void full_seconds_count(const uint8_t *frame)
{
    uint64_t now = clock_ns(CLOCK_REALTIME) / 1000000000u;
    if (!full_seconds.first)
        full_seconds.first = now;
    uint64_t number = now - full_seconds.first;
    if (number >= FULL_SECONDS_MAX)
        return;
    full_seconds.used = (unsigned)number + 1;
    full_seconds.second[number].full++;
    full_seconds.second[number].again += frame[2] >> 7;
}

/* "first_second": 5, "seconds": [[full, again], ...] */
static inline void full_seconds_print(FILE *out)
{
    fprintf(out, "\"first_second\": %llu, \"seconds\": [", (unsigned long long)full_seconds.first);
    for (unsigned i = 0; i < full_seconds.used; i++)
        fprintf(out, "%s[%u, %u]", i ? ", " : "", full_seconds.second[i].full,
                full_seconds.second[i].again);
    fprintf(out, "]");
}

#endif
