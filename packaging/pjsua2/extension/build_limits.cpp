#include "build_limits.hpp"

#include <pjsua-lib/pjsua.h>

namespace pj {

BuildLimits BuildLimits::get() {
    BuildLimits limits;
    limits.ioqueue = pj_ioqueue_name();
    limits.ioqueueHandles = PJ_IOQUEUE_MAX_HANDLES;
    limits.transactions = PJSIP_MAX_TSX_COUNT;
    limits.dialogs = PJSIP_MAX_DIALOG_COUNT;
    limits.transports = PJSIP_MAX_TRANSPORTS;
    limits.networkEventsPerPoll = PJSIP_MAX_NET_EVENTS;
    limits.packetOctets = PJSIP_MAX_PKT_LEN;
    limits.urlOctets = PJSIP_MAX_URL_SIZE;
    limits.udpBufferOctets = PJSIP_UDP_SO_RCVBUF_SIZE;
    limits.calls = PJSUA_MAX_CALLS;
    limits.accounts = PJSUA_MAX_ACC;
    return limits;
}

}  // namespace pj
