#pragma once

#include <stdexcept>
#include <string>

#include <pjsua2/siptypes.hpp>

#include "request_limiter.hpp"

namespace pj {

/** Thrown into C++ when onRxRequest() failed in Python; the request is then answered with 500. */
struct CallbackFailed : std::runtime_error {
    CallbackFailed() : std::runtime_error("onRxRequest failed") {}
};

/** One request and, where the callback fills it in, the answer to it. */
struct OnRxRequestParam {
    SipRxData       rdata;          // wholeMsg as received and srcAddress with its port
    int             callId = PJSUA_INVALID_ID;  // pjsua's call that it belongs to
    std::string     method;
    std::string     transport;      // "UDP", "TCP", "TLS", "UDP6" ...
    std::string     localAddress;   // as published, with its port; IPv6 in brackets

    int             code = 0;       // the final status; 0: no answer is sent
    std::string     reason;         // empty: the usual phrase for the code
    bool            stateful = true;    // false: no transaction and no memory of the request
    unsigned        delayMs = 0;        // a stateless answer may wait
    SipHeaderVector headers;        // hName and hValue
    std::string     contentType;    // "type/subtype" of body
    std::string     body;
};

/**
 * Sees out-of-dialog requests before pjsua does, behind token buckets, and three kinds within
 * calls: INFO and OPTIONS, which pjsua leaves to dialogs that answer 500, and REFER, for which it
 * would call whatever is named. One is registered at most.
 *
 * ACK and whatever else belongs to a dialog or a transaction pass by unseen and uncounted. What
 * the limiter drops reaches neither Python nor pjsua and is not answered. The thread that calls
 * libHandleEvents() is the only one that may touch this.
 */
class SipModule {
public:
    /** Lower numbers see a request sooner: pjsua has 64, transactions and dialogs 16 and 32. */
    explicit SipModule(const std::string &name, int priority = 63);
    virtual ~SipModule();

    /** After libInit(). Raises PJ_EEXISTS while another one is registered. */
    void registerModule() PJSUA2_THROW(Error);

    /** Before libDestroy(). */
    void unregisterModule();

    /**
     * Returns false to leave the request to pjsua. True: it is dealt with, and answered with
     * prm.code unless that is 0. A failure, or an answer that cannot be sent (a code outside
     * 200 to 699, a line break in a header), becomes a bare stateless 500.
     */
    virtual bool onRxRequest(OnRxRequestParam &prm);

    /**
     * Sends OPTIONS to a URI; onPinged() brings what became of it, 408 where nothing came. Raises
     * Error for a URI that cannot be sent to.
     */
    void ping(const std::string &target, const std::string &from, int token) PJSUA2_THROW(Error);

    /** The final status of a ping(). */
    virtual void onPinged(int token, int code);

    /** Drops the answers that still wait: before libDestroy(). */
    void dropDelayed();

    void setLimits(const RequestLimits &limits) PJSUA2_THROW(Error);
    void exempt(const std::string &network) PJSUA2_THROW(Error);
    void clearExempt();
    bool trust(const std::string &address) PJSUA2_THROW(Error);
    void distrust(const std::string &address) PJSUA2_THROW(Error);
    RequestCounters counters() const;

    /** Requests that onRxRequest() failed on or whose answer could not be sent. */
    unsigned long long failures() const;

    /** Milliseconds until libHandleEvents() has a timer to run, 0 when overdue, -1 without any. */
    static int msecToNextTimer();

#ifndef SWIG
    SipModule(const SipModule &) = delete;
    SipModule &operator=(const SipModule &) = delete;

    struct Impl;

private:
    Impl *impl_;
#endif
};

}  // namespace pj
