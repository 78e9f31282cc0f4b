#pragma once

#include <string>

#include <pjsua2/call.hpp>

namespace pj {

/**
 * Which of pjsua's callbacks about calls reach Python: those that tell it something.
 *
 * Each of the others would be a round trip with a print of two messages, and a call makes twenty.
 */
struct CallCallbacks {
    /** After libInit(), which names all of them. */
    static void spare();

    /** The SDP that a call's other end said last in a complete exchange; empty before one is. */
    static std::string remoteDescription(int callId);
};

/** Parameters of an operation on a call whose media is one audio line and nothing else. */
struct AudioCallOpParam : CallOpParam {
    /** An empty reason is the usual one, an empty SDP leaves pjsua2's. */
    AudioCallOpParam(int status = 0, const std::string &reason = "", const std::string &sdp = "");
};

}  // namespace pj
