#pragma once

#include <array>
#include <cstdint>
#include <list>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include <pjsua2/types.hpp>

namespace pj {

/** How many requests pass. Rates are requests per second, bursts are requests at once. */
struct RequestLimits {
    double   perSource = 20;
    double   perSourceBurst = 20;
    double   total = 300;
    double   totalBurst = 300;
    unsigned maxSources = 4096;     // sources remembered; beyond, the longest unheard is forgotten
    unsigned maxTrusted = 16384;
};

/** What has passed and what has not, since the limiter was made. */
struct RequestCounters {
    unsigned long long admitted = 0;
    unsigned long long exempt = 0;
    unsigned long long droppedBySource = 0;
    unsigned long long droppedByTotal = 0;
    unsigned           sources = 0;     // remembered now
    unsigned           trusted = 0;     // now
};

/**
 * Token buckets for each source and for all of them together. Pure: no socket, no clock, no log.
 *
 * A source is one IPv4 address or one IPv6 /64, since a host owns at least that much; IPv4 in IPv6
 * clothes is IPv4. A source's bucket is asked first, so that one flooder does not use up the
 * bucket that all share. Trusted sources have their own bucket alone, so that strangers cannot
 * lock them out. Exempt networks pass without touching either. One thread only.
 */
class RequestLimiter {
public:
    explicit RequestLimiter(const RequestLimits &limits = RequestLimits()) PJSUA2_THROW(Error);

    /** Takes effect with the next request. Raises PJ_EINVAL for anything but positive numbers. */
    void setLimits(const RequestLimits &limits) PJSUA2_THROW(Error);

    /** Lets a network pass: "192.0.2.0/24", "2001:db8::/32" or one address. Raises PJ_EINVAL. */
    void exempt(const std::string &network) PJSUA2_THROW(Error);

    /** Forgets the exempt networks. */
    void clearExempt();

    /** Trusts a source by its numeric address; false beyond maxTrusted. Raises PJ_EINVAL. */
    bool trust(const std::string &address) PJSUA2_THROW(Error);

    /** Ends that trust. Raises PJ_EINVAL. */
    void distrust(const std::string &address) PJSUA2_THROW(Error);

    /** True when a request of this numeric address passes; nowSeconds never steps back. */
    bool admit(const std::string &address, double nowSeconds) PJSUA2_THROW(Error);

    RequestCounters counters() const;

#ifndef SWIG
    using Octets = std::array<std::uint8_t, 16>;    // IPv6, or IPv4 as ::ffff:a.b.c.d
    bool admit(const Octets &address, double nowSeconds);

private:
    struct Bucket {
        double tokens;
        double updatedSeconds;
        bool take(double nowSeconds, double rate, double burst);
    };
    struct Network {
        Octets   prefix;
        unsigned prefixBits;
        bool contains(const Octets &address) const;
    };
    struct Key {
        std::uint64_t high, low;
        bool operator==(const Key &other) const { return high == other.high && low == other.low; }
    };
    struct KeyHash {
        std::uint64_t seed;
        std::size_t operator()(const Key &key) const;
    };
    using Sources = std::list<std::pair<Key, Bucket>>;  // longest unheard first

    static KeyHash seededHash();
    static Key sourceOf(const Octets &address);
    static Key parsedSource(const std::string &address) PJSUA2_THROW(Error);
    bool isExempt(const Octets &address) const;
    Bucket &bucketOf(const Key &source, double nowSeconds);

    RequestLimits                                       limits_;
    RequestCounters                                     counters_;
    std::vector<Network>                                exempt_;
    Bucket                                              total_;
    Sources                                             sources_;
    std::unordered_map<Key, Sources::iterator, KeyHash> index_;
    std::unordered_set<Key, KeyHash>                    trusted_;
#endif
};

}  // namespace pj
