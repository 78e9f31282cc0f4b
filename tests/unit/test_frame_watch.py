"""Who debugs a link is shown every full frame of its calls, in clear, and how it travels."""

from random import Random

from bridge.iax2 import Address, Endpoint, Format, FrameWatch, User
from bridge.iax2.constants import FrameType, IaxSubclass
from bridge.iax2.frames import FullFrame
from tests.lab.iax2_pair import SECRET, USERNAME, Pair
from tests.lab.iax2_wire import FAR, NEAR

SILENCE = b"\xff" * 160
SET_UP = [
    ("sent", IaxSubclass.NEW, False),
    ("received", IaxSubclass.CALLTOKEN, False),
    ("sent", IaxSubclass.NEW, False),
    ("received", IaxSubclass.AUTHREQ, False),
    ("sent", IaxSubclass.AUTHREP, True),
]


class Recorder:
    def __init__(self) -> None:
        self.seen: list[tuple[str, FullFrame, Address, bool]] = []

    def sent(self, frame: FullFrame, address: Address, *, encrypted: bool) -> None:
        self.seen.append(("sent", frame, address, encrypted))

    def received(self, frame: FullFrame, address: Address, *, encrypted: bool) -> None:
        self.seen.append(("received", frame, address, encrypted))

    def handshake(self) -> list[tuple[str, int, bool]]:
        acks = (IaxSubclass.ACK, IaxSubclass.ACCEPT)
        return [
            (way, frame.subclass, encrypted)
            for way, frame, _, encrypted in self.seen
            if frame.frame_type == FrameType.IAX and frame.subclass not in acks
        ]


def watched(near: FrameWatch | None, far: FrameWatch | None) -> Pair:
    pair = Pair()
    pair.near = Endpoint(entropy=Random(2).randbytes, watch=near)
    pair.far = Endpoint([User(USERNAME, (SECRET,))], entropy=Random(3).randbytes, watch=far)
    return pair


def test_both_roles_see_the_same_handshake_each_from_its_side() -> None:
    near, far = Recorder(), Recorder()
    watched(near, far).answered()
    assert near.handshake() == SET_UP
    # The called side keeps nothing of a NEW without a token, and so shows nothing of it.
    assert far.handshake() == [
        ("received" if way == "sent" else "sent", subclass, encrypted)
        for way, subclass, encrypted in SET_UP[2:]
    ]
    assert {address for _, _, address, _ in near.seen} == {FAR}
    assert {address for _, _, address, _ in far.seen} == {NEAR}


def test_what_is_shown_is_in_clear_and_minis_are_not() -> None:
    near, far = Recorder(), Recorder()
    pair = watched(near, far)
    call, _ = pair.answered()
    near.seen.clear()
    far.seen.clear()
    call.send_digit("5", pair.now)
    for frame in range(3):
        call.send_voice(SILENCE, frame * 20, pair.now)
    pair.exchange()
    for way, recorder in (("sent", near), ("received", far)):
        frames = [frame for seen, frame, _, _ in recorder.seen if seen == way]
        assert [(frame.frame_type, frame.subclass) for frame in frames] == [
            (FrameType.DTMF_END, ord("5")),
            (FrameType.VOICE, Format.ULAW),
        ]
        assert frames[1].data == SILENCE
        assert all(encrypted for _, _, _, encrypted in recorder.seen)


def test_what_is_not_believed_is_not_shown() -> None:
    near = Recorder()
    pair = watched(near, None)
    call, _ = pair.answered()
    near.seen.clear()
    octets = (0x8000 | call.peer_call_number).to_bytes(2, "big")
    octets += call.call_number.to_bytes(2, "big") + bytes(range(32))
    pair.near.receive_datagram(octets, FAR, pair.now)
    assert call.statistics.dropped_implausible == 1
    assert not near.seen


def test_a_frame_sent_again_says_so() -> None:
    near = Recorder()
    pair = watched(near, None)
    call, _ = pair.answered()
    near.seen.clear()
    pair.swallow = lambda sent: sent.source == NEAR
    call.send_cng(pair.now)
    pair.elapse(1)
    again = [frame.retransmission for _, frame, _, _ in near.seen]
    assert again[:2] == [False, True]
