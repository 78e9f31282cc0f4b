#pragma once

#include <pjsip.h>

namespace pj {

/**
 * Makes the Contact of a message that sets a dialog's target (INVITE, UPDATE, their answers) the
 * address that the message came from: a phone behind NAT names another, and one that connects may
 * listen nowhere. PJSIP then finds the phone's own connection by that address; once that one has
 * ended, the calls that it served try the port that their Contact named.
 *
 * Nor does an answer go where the maddr of a Via says (RFC 3261 section 18.2.2, for multicast):
 * anybody could have us send to others, and look up names, for which the whole loop would wait.
 *
 * Left alone: what came through a proxy (Record-Route, a second Via, an answer from elsewhere than
 * asked), and a UDP phone's own port where it asks for no rport (RFC 3581).
 */
void returnToSource(pjsip_rx_data *rdata);

/**
 * Makes our Contact, in what leaves by a connection that a phone made, the address that the phone
 * connected to. PJSIP names the one that the kernel would answer from, where we may not listen; a
 * phone would connect to it for its ACK, and never reach us.
 */
void nameReachedAddress(pjsip_tx_data *tdata);

}  // namespace pj
