"""How pjsua2's accounts are configured: the one that takes calls, and one for each trunk.

A trunk's account registers and proves its password by PJSIP's own means.
"""

from __future__ import annotations

import pjsua2 as pj

from bridge.iax2.auth import Address
from bridge.sip.settings import TrunkSettings, uri_host

REFRESH_BEFORE_S = (5, 40)
"""So long before its end a registration is renewed: a quarter of its life within these bounds.
A request that is lost is sent again for 32 s."""
UNREGISTERED_WITHIN_MS = 2000

_ANY_REALM = "*"
_PLAIN_PASSWORD = 0


def base_config(session_s: tuple[int, int], *, uses_ipv6: bool) -> pj.AccountConfig:
    """An account that signals, and leaves all media to us.

    `session_s` holds the session timer to propose, and the least that is accepted.
    """
    config = pj.AccountConfig()
    config.idUri = "sip:bridge@localhost"
    media = config.mediaConfig
    if uses_ipv6:
        media.ipv6Use = pj.PJSUA_IPV6_ENABLED_PREFER_IPV4
    media.useLoopMedTp = True
    media.enableLoopback = False
    media.lockCodecEnabled = False
    media.streamKaEnabled = False
    media.srtpUse = pj.PJMEDIA_SRTP_OPTIONAL
    media.srtpSecureSignaling = 0
    calls = config.callConfig
    calls.timerUse = pj.PJSUA_SIP_TIMER_OPTIONAL
    calls.timerSessExpiresSec, calls.timerMinSESec = session_s
    nat = config.natConfig
    nat.contactRewriteUse = nat.viaRewriteUse = nat.sdpNatRewriteUse = 0
    nat.sipOutboundUse = 0
    return config


def trunk_config(
    base: pj.AccountConfig, trunk: TrunkSettings, address: Address
) -> pj.AccountConfig:
    """An account of a trunk that is at an address: everything is sent there.

    When to try again after a failure is not left to PJSIP, which knows one pause for all of them.
    """
    base.idUri = trunk.uri(trunk.from_user)
    host, port = uri_host(address[0]), address[1]
    base.sipConfig.proxies.append(f"sip:{host}:{port};transport={trunk.transport};lr;hide")
    proof = pj.AuthCredInfo("digest", _ANY_REALM, trunk.user, _PLAIN_PASSWORD, trunk.password)
    base.sipConfig.authCreds.append(proof)
    registration = base.regConfig
    registration.retryIntervalSec = registration.firstRetryIntervalSec = 0
    least_s, most_s = REFRESH_BEFORE_S
    registration.delayBeforeRefreshSec = max(least_s, min(most_s, trunk.expires_s // 4))
    registration.unregWaitMsec = UNREGISTERED_WITHIN_MS
    # What cannot be sent at all fails in setRegistration() alone.
    registration.registerOnAdd, registration.disableRegOnModify = False, True
    if trunk.registers:
        registration.registrarUri = f"sip:{uri_host(trunk.domain)}"
        registration.timeoutSec = trunk.expires_s
    # Behind NAT the trunk sees us elsewhere: PJSIP learns where from its answers.
    base.natConfig.contactRewriteUse = base.natConfig.viaRewriteUse = 1
    return base
