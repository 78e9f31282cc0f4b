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

/** One out-of-dialog request and, where the callback fills it in, the answer to it. */
struct OnRxRequestParam {
    SipRxData       rdata;          // wholeMsg as received and srcAddress with its port
    std::string     method;
    std::string     transport;      // "UDP", "TCP", "TLS", "UDP6" ...
    std::string     localAddress;   // as published, with its port; IPv6 in brackets

    int             code = 0;       // the final status; 0: no answer is sent
    std::string     reason;         // empty: the usual phrase for the code
    bool            stateful = true;    // false: no transaction and no memory of the request
    SipHeaderVector headers;        // hName and hValue
    std::string     contentType;    // "type/subtype" of body
    std::string     body;
};

/**
 * Sees out-of-dialog requests before pjsua does, behind token buckets. One is registered at most.
 *
 * ACK and whatever belongs to a dialog or a transaction pass by unseen and uncounted. What
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

    void setLimits(const RequestLimits &limits) PJSUA2_THROW(Error);
    void exempt(const std::string &network) PJSUA2_THROW(Error);
    void clearExempt();
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
