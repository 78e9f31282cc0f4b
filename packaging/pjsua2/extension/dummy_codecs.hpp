#pragma once

#include <string>

#include <pjsua2/types.hpp>

namespace pj {

/**
 * Codecs for the negotiation alone: pjsua accepts them in SDP, no sample is ever coded.
 *
 * The bridge relays payloads itself; PJSIP only has to know that a format exists, since it
 * refuses an INVITE that offers none it knows before any callback.
 */
struct DummyCodecs {
    /**
     * Adds one to the list: the encoding name, static payload type (or a dynamic number),
     * clock rate in hertz and channels as they stand in an rtpmap. Twice the same counts once.
     * Raises PJ_ETOOMANY beyond 16 and PJ_ENAMETOOLONG for names over 15 octets.
     */
    static void add(const std::string &name, int payloadType, unsigned clockRate,
                    unsigned channels) PJSUA2_THROW(Error);

    /** Hands the list to PJSIP: once after each libInit(). */
    static void install() PJSUA2_THROW(Error);
};

}  // namespace pj
