#pragma once

#include <functional>
#include <memory>
#include <string>
#include <unordered_map>

#include <pjsip.h>

namespace pj {

/**
 * Answers that wait before they are sent, each with a copy of its request; internal to SipModule.
 *
 * Bounded: beyond kMost nothing more waits. A retransmission of a request whose answer waits is
 * known by its transaction's key.
 */
class DelayedAnswers {
public:
    using Send = std::function<void(pjsip_rx_data *)>;

    static constexpr unsigned kMost = 256;

    DelayedAnswers();
    ~DelayedAnswers();

    bool isWaiting(pjsip_rx_data *rdata) const;

    /** Calls `send` with a copy of the request after a while; false when it cannot wait. */
    bool add(pjsip_rx_data *rdata, unsigned delayMs, Send send);

    /** Forgets all of them, unsent. */
    void clear();

private:
    struct Waiting;

    static void onTimer(pj_timer_heap_t *heap, pj_timer_entry *entry);

    std::unordered_map<std::string, std::unique_ptr<Waiting>> waiting_;
};

}  // namespace pj
