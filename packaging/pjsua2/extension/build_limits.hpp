#pragma once

#include <string>

namespace pj {

/** What this build of PJSIP was compiled with: the sizes of config_site.h and its I/O queue. */
struct BuildLimits {
    std::string ioqueue;            // "epoll[...]" with what the kernel offers
    unsigned    ioqueueHandles;
    unsigned    transactions;
    unsigned    dialogs;
    unsigned    transports;
    unsigned    networkEventsPerPoll;
    unsigned    packetOctets;       // longest SIP message
    unsigned    urlOctets;          // longest SIP URI
    unsigned    udpBufferOctets;    // asked of the kernel for each direction of a UDP socket
    unsigned    calls;
    unsigned    accounts;

    static BuildLimits get();
};

}  // namespace pj
