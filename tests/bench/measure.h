/* What load and far end share: the measuring frame, clocks, and a histogram of durations.
 *
 * The 160 octets of a frame (20 ms of G.711), in the byte order of the machine that both run on:
 *
 *   0                    128    130    132        136          144           152       156       160
 *   | noise               | mark | call | sequence | sent_ns    | arrived_ns  | held_ns | returned |
 *   '--- blocks 0 to 7 ---'--------- block 8, by the load ------'------ block 9, by the far end ----'
 *
 * The split follows AES blocks: a mini frame's plaintext ends with the payload, on a block boundary.
 * So the far end reads block 8 by deciphering one block and fills block 9 by enciphering one, and
 * every other octet travels back as the gateway sealed it.
 *
 * sent_ns, arrived_ns are CLOCK_REALTIME, because that is what the kernel stamps on arrival
 * (SO_TIMESTAMPNS). With the kernel's stamp the wait of load and far end for a core is not counted
 * as the gateway's delay.
 */
#ifndef MEASURE_H
#define MEASURE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

enum {
    BLOCK_OCTETS = 16,
    PAYLOAD_OCTETS = 160,
    NOISE_OCTETS = PAYLOAD_OCTETS - 2 * BLOCK_OCTETS,
    FRAME_MS = 20,
    MEASURE_MARK = 0x5AB1,
};

struct sent_block {
    uint16_t mark;
    uint16_t call;
    uint32_t sequence;
    uint64_t sent_ns;
};

/* arrived_ns 0: this frame did not pass the far end's fast path, so it tells no one-way delay. */
struct echo_block {
    uint64_t arrived_ns;
    uint32_t held_ns;
    uint32_t returned; /* counts the measuring frames that the far end has returned on this call */
};

_Static_assert(sizeof(struct sent_block) == BLOCK_OCTETS, "the load's block is one AES block");
_Static_assert(sizeof(struct echo_block) == BLOCK_OCTETS, "the far end's block is one AES block");

static inline uint64_t clock_ns(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* The kernel's time of arrival, or the time now where the message carries none. */
static inline uint64_t arrival_ns(struct msghdr *message)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c))
        if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_TIMESTAMPNS) {
            struct timespec t;
            memcpy(&t, CMSG_DATA(c), sizeof t);
            return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
        }
    return clock_ns(CLOCK_REALTIME);
}

/* Buckets of 1/64 of a power of two: 1.6 % precise from nanoseconds to minutes in 15 kB. */
enum { SUB_BITS = 6, SUB_BUCKETS = 1 << SUB_BITS, BUCKETS = SUB_BUCKETS * (64 - SUB_BITS + 1) };

struct histogram {
    uint64_t count, max_ns;
    uint32_t bucket[BUCKETS];
};

static inline void histogram_add(struct histogram *h, uint64_t ns)
{
    unsigned shift = ns < SUB_BUCKETS ? 0 : 63 - SUB_BITS - (unsigned)__builtin_clzll(ns);
    h->bucket[shift * SUB_BUCKETS + (ns >> shift)]++;
    h->count++;
    if (ns > h->max_ns)
        h->max_ns = ns;
}

static inline uint64_t histogram_quantile_ns(const struct histogram *h, double quantile)
{
    uint64_t wanted = (uint64_t)(quantile * (double)h->count), passed = 0;
    for (unsigned i = 0; i < BUCKETS; i++) {
        passed += h->bucket[i];
        if (passed > wanted) {
            unsigned shift = i < 2 * SUB_BUCKETS ? 0 : i / SUB_BUCKETS - 1;
            return (uint64_t)(i - shift * SUB_BUCKETS) << shift;
        }
    }
    return h->max_ns;
}

/* "name": {"count": 5, "p50": 0.123, ...}, milliseconds; null where nothing was counted. */
static inline void histogram_print(FILE *out, const char *name, const struct histogram *h)
{
    if (!h->count) {
        fprintf(out, "\"%s\": null", name);
        return;
    }
    fprintf(out, "\"%s\": {\"count\": %llu, \"p50\": %.4f, \"p90\": %.4f, \"p99\": %.4f, \"max\": %.4f}",
            name, (unsigned long long)h->count, histogram_quantile_ns(h, 0.5) / 1e6,
            histogram_quantile_ns(h, 0.9) / 1e6, histogram_quantile_ns(h, 0.99) / 1e6,
            (double)h->max_ns / 1e6);
}

#endif
