#include "request_limiter.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstring>
#include <random>

#include <arpa/inet.h>

#include <pjsua2/endpoint.hpp>

#define THIS_FILE "request_limiter.cpp"

namespace pj {
namespace {

using Octets = RequestLimiter::Octets;

constexpr unsigned kMappedBits = 96;            // of the prefix ::ffff:0:0 before an IPv4 address
constexpr unsigned kMaxSources = 1u << 20;

bool isMappedIpv4(const Octets &address) {
    static const std::uint8_t prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    return std::memcmp(address.data(), prefix, sizeof(prefix)) == 0;
}

bool parseAddress(const std::string &text, Octets &address) {
    const std::string mapped = text.find(':') == std::string::npos ? "::ffff:" + text : text;
    return inet_pton(AF_INET6, mapped.c_str(), address.data()) == 1;
}

bool parsePrefixBits(const std::string &text, unsigned &bits) {
    const char *end = text.data() + text.size();
    const auto result = std::from_chars(text.data(), end, bits);
    return result.ec == std::errc() && result.ptr == end;
}

bool isPositive(double value) { return std::isfinite(value) && value > 0; }

bool isUsable(const RequestLimits &limits) {
    return isPositive(limits.perSource) && isPositive(limits.total) &&
           std::isfinite(limits.perSourceBurst) && limits.perSourceBurst >= 1 &&
           std::isfinite(limits.totalBurst) && limits.totalBurst >= 1 &&
           limits.maxSources >= 1 && limits.maxSources <= kMaxSources;
}

std::uint64_t loadBigEndian(const std::uint8_t *octets) {
    std::uint64_t value = 0;
    for (int i = 0; i < 8; ++i) value = value << 8 | octets[i];
    return value;
}

// splitmix64's finisher.
std::uint64_t mix(std::uint64_t value) {
    value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9ULL;
    value = (value ^ (value >> 27)) * 0x94d049bb133111ebULL;
    return value ^ (value >> 31);
}

}  // namespace

bool RequestLimiter::Bucket::take(double nowSeconds, double rate, double burst) {
    tokens = std::min(burst, tokens + std::max(0.0, nowSeconds - updatedSeconds) * rate);
    updatedSeconds = nowSeconds;
    if (tokens < 1) return false;
    tokens -= 1;
    return true;
}

bool RequestLimiter::Network::contains(const Octets &address) const {
    const unsigned whole = prefixBits / 8, rest = prefixBits % 8;
    if (std::memcmp(address.data(), prefix.data(), whole) != 0) return false;
    return rest == 0 || (address[whole] ^ prefix[whole]) >> (8 - rest) == 0;
}

// Seeded: the keys are the peers' choice, and colliding ones must not make a chain.
std::size_t RequestLimiter::KeyHash::operator()(const Key &key) const {
    return static_cast<std::size_t>(mix(mix(key.high ^ seed) ^ key.low));
}

RequestLimiter::KeyHash RequestLimiter::seededHash() {
    return KeyHash{std::uint64_t(std::random_device{}()) << 32 | std::random_device{}()};
}

RequestLimiter::RequestLimiter(const RequestLimits &limits) PJSUA2_THROW(Error)
    : total_{0, 0}, index_(16, seededHash()), trusted_(16, seededHash()) {
    setLimits(limits);
    total_.tokens = limits_.totalBurst;
}

void RequestLimiter::setLimits(const RequestLimits &limits) PJSUA2_THROW(Error) {
    if (!isUsable(limits)) PJSUA2_RAISE_ERROR(PJ_EINVAL);
    limits_ = limits;
}

void RequestLimiter::exempt(const std::string &network) PJSUA2_THROW(Error) {
    const auto slash = network.find('/');
    const std::string host = network.substr(0, slash);
    const unsigned offset = host.find(':') == std::string::npos ? kMappedBits : 0;
    Network parsed{{}, 128 - offset};
    if (!parseAddress(host, parsed.prefix)) PJSUA2_RAISE_ERROR(PJ_EINVAL);
    if (slash != std::string::npos && !parsePrefixBits(network.substr(slash + 1), parsed.prefixBits))
        PJSUA2_RAISE_ERROR(PJ_EINVAL);
    if (parsed.prefixBits > 128 - offset) PJSUA2_RAISE_ERROR(PJ_EINVAL);
    parsed.prefixBits += offset;
    exempt_.push_back(parsed);
}

void RequestLimiter::clearExempt() { exempt_.clear(); }

RequestLimiter::Key RequestLimiter::parsedSource(const std::string &address) PJSUA2_THROW(Error) {
    Octets octets;
    if (!parseAddress(address, octets)) PJSUA2_RAISE_ERROR(PJ_EINVAL);
    return sourceOf(octets);
}

bool RequestLimiter::trust(const std::string &address) PJSUA2_THROW(Error) {
    const Key source = parsedSource(address);
    if (trusted_.size() >= limits_.maxTrusted) return trusted_.count(source) == 1;
    trusted_.insert(source);
    return true;
}

void RequestLimiter::distrust(const std::string &address) PJSUA2_THROW(Error) {
    trusted_.erase(parsedSource(address));
}

bool RequestLimiter::isExempt(const Octets &address) const {
    return std::any_of(exempt_.begin(), exempt_.end(),
                       [&](const Network &network) { return network.contains(address); });
}

RequestLimiter::Key RequestLimiter::sourceOf(const Octets &address) {
    if (isMappedIpv4(address)) return {0, loadBigEndian(address.data() + 8)};
    return {loadBigEndian(address.data()), 0};
}

RequestLimiter::Bucket &RequestLimiter::bucketOf(const Key &source, double nowSeconds) {
    const auto found = index_.find(source);
    if (found != index_.end()) {
        sources_.splice(sources_.end(), sources_, found->second);
        return sources_.back().second;
    }
    while (sources_.size() >= limits_.maxSources) {
        index_.erase(sources_.front().first);
        sources_.pop_front();
    }
    sources_.emplace_back(source, Bucket{limits_.perSourceBurst, nowSeconds});
    index_.emplace(source, std::prev(sources_.end()));
    return sources_.back().second;
}

bool RequestLimiter::admit(const Octets &address, double nowSeconds) {
    if (isExempt(address)) {
        ++counters_.exempt;
        return true;
    }
    const Key source = sourceOf(address);
    Bucket &bucket = bucketOf(source, nowSeconds);
    if (!bucket.take(nowSeconds, limits_.perSource, limits_.perSourceBurst)) {
        ++counters_.droppedBySource;
        return false;
    }
    if (trusted_.count(source) == 0 &&
        !total_.take(nowSeconds, limits_.total, limits_.totalBurst)) {
        ++counters_.droppedByTotal;
        return false;
    }
    ++counters_.admitted;
    return true;
}

bool RequestLimiter::admit(const std::string &address, double nowSeconds) PJSUA2_THROW(Error) {
    Octets octets;
    if (!parseAddress(address, octets)) PJSUA2_RAISE_ERROR(PJ_EINVAL);
    return admit(octets, nowSeconds);
}

RequestCounters RequestLimiter::counters() const {
    RequestCounters counters = counters_;
    counters.sources = static_cast<unsigned>(sources_.size());
    counters.trusted = static_cast<unsigned>(trusted_.size());
    return counters;
}

}  // namespace pj
