"""A status with a different number in every place, for the tests of what carries and shows it."""

from dataclasses import replace

from bridge.iax2 import KeyOrigin, Reachability
from bridge.status.model import (
    CallStatus,
    Dropped,
    Grade,
    Key,
    LinkStatus,
    OurRegistration,
    PeerRegistration,
    Received,
    Sent,
    Status,
    TrunkStatus,
    Verdict,
)

VERDICT = Verdict(Grade.GOOD, "encrypted both ways")
RECEIVED = Received(10, 90, 2, 10, Dropped(1, 2, 3, 4, 5, 6))
CALL = CallStatus(
    call=7,
    link="hq",
    direction="to peer",
    state="up",
    age_s=75.0,
    encrypted=True,
    cipher="AES-128-CBC",
    sending_key=Key(KeyOrigin.OURS, 15.0),
    receiving_key=Key(KeyOrigin.HANDSHAKE, 74.5),
    codec="ulaw",
    sent=Sent(20, 100, 2, 1),
    received=RECEIVED,
    unreadable_last_minute=3,
    rtt_ms=12.5,
    jitter_ms=None,
    far_jitter_ms=1.0,
    far_loss_percent=None,
    verdict=VERDICT,
)
LINK = LinkStatus(
    link="hq",
    peer=None,
    reachability=Reachability.LATE,
    reachability_s=130.0,
    rtt_ms=2100.5,
    jitter_ms=4.0,
    live_calls=1,
    calls=9,
    sent=Sent(1, 2, 3, 4),
    received=RECEIVED,
    unreadable_last_minute=3,
    last_end="the peer hung up",
    verdict=VERDICT,
)
REGISTERED_LINK = replace(
    LINK,
    our_registration=OurRegistration("registered", 182.0, 48.0, 1, None),
    peer_registration=PeerRegistration(59.0, 2),
)
STATUS = Status("1.0", "branch-7", 4000.0, (LINK,), (CALL,), {"malformed": 2}, {"taken": 9})
TRUNK = TrunkStatus(
    trunk="provider",
    server="192.0.2.9:5060",
    state="registered",
    is_up=True,
    since_s=90.0,
    expires_in_s=510.0,
    tries_failed=0,
    status=None,
    live_calls=2,
    calls=7,
)
