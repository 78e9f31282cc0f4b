"""Our registration against frames as Asterisk sends them, and against hostile ones."""

from random import Random

import pytest

from bridge.iax2 import Cause, Endpoint, Registered, Registration, RegistrationProfile
from bridge.iax2.constants import ElementType, FrameType, IaxSubclass
from bridge.iax2.elements import ElementValue, InformationElements, parse_elements_untrusted
from bridge.iax2.frames import FullFrame
from tests.lab.iax2_peer import PEER, STRANGER, Peer
from tests.lab.iax2_wire import START

PROFILE = RegistrationProfile("reguser", b"regsecret")


class Written:
    """A registrar that a test writes frame by frame."""

    def __init__(self) -> None:
        self.peer = Peer(Endpoint(entropy=Random(1).randbytes))
        self.registration: Registration = self.peer.endpoint.peers.register("hq", PROFILE)
        self.registration.move_to(PEER, START)
        self.peer.take()
        self.peer.iseqno = 1

    @property
    def asked(self) -> FullFrame:
        """Our newest request."""
        return self.peer.received[-1].frame

    def say(
        self,
        subclass: int,
        *elements: tuple[int, ElementValue],
        source: int = 9406,
        oseqno: int | None = None,
    ) -> None:
        number = self.peer.received[0].frame.source_call_number
        self.peer.other_call_number, self.peer.call_number = number, source
        frame = self.peer.frame(FrameType.IAX, subclass, InformationElements.of(*elements).encode())
        if oseqno is not None:
            self.peer.oseqno = oseqno
        self.peer.send(FrameType.IAX, frame.subclass, frame.data)

    def challenge(self) -> None:
        self.say(
            IaxSubclass.REGAUTH,
            (ElementType.AUTHMETHODS, (2, 2)),
            (ElementType.CHALLENGE, "194352043"),
            (ElementType.USERNAME, "reguser"),
        )

    @property
    def registered(self) -> Registered:
        return self.registration.seen.registered


class TestAsAsteriskDoesIt:
    """The frames of a captured registration between two Asterisks."""

    def test_the_frames_are_the_same(self) -> None:
        written = Written()
        assert parse_elements_untrusted(written.asked.data).pairs == (
            (ElementType.USERNAME, b"reguser"),
            (ElementType.REFRESH, b"\x00\x3c"),
            (ElementType.CALLTOKEN, b""),
        )
        token = b"1795412490?fd11869e7fbc763be47acc5207a23eae3c1e0c89"
        written.say(IaxSubclass.CALLTOKEN, (ElementType.CALLTOKEN, token), source=1)
        again = written.asked
        assert (again.oseqno, again.iseqno, again.destination_call_number) == (0, 0, 0)
        assert parse_elements_untrusted(again.data).get(ElementType.CALLTOKEN) == token
        written.challenge()
        proof = written.asked
        assert (proof.oseqno, proof.iseqno, proof.destination_call_number) == (1, 1, 9406)
        assert parse_elements_untrusted(proof.data).pairs == (
            (ElementType.USERNAME, b"reguser"),
            (ElementType.REFRESH, b"\x00\x3c"),
            (ElementType.MD5_RESULT, b"69cbba4e7aebc0c51e99cfc0b53f57cc"),
        )
        written.peer.iseqno = 2
        written.say(IaxSubclass.REGACK, (ElementType.REFRESH, (120, 2)))
        ack = written.asked
        assert (ack.subclass, ack.oseqno, ack.iseqno) == (IaxSubclass.ACK, 2, 2)
        assert written.registered is Registered.REGISTERED
        assert written.registration.seen.expires_at == START + 120

    def test_an_acknowledgement_before_the_challenge(self) -> None:
        """Asterisk sends one where it delays refusals."""
        written = Written()
        written.say(IaxSubclass.ACK)
        written.peer.elapse(1)
        assert len(written.peer.received) == 1
        written.challenge()
        assert written.asked.oseqno == 1

    def test_a_refusal_without_a_call(self) -> None:
        written = Written()
        written.say(IaxSubclass.REGREJ, source=1)
        assert written.registered is Registered.REFUSED
        assert written.registration.seen.cause is None

    @pytest.mark.parametrize(
        ("said", "refresh_s"), [((), 60), (((ElementType.REFRESH, (1, 2)),), 10)]
    )
    def test_a_refresh_that_is_missing_or_too_short(
        self, said: tuple[tuple[int, ElementValue], ...], refresh_s: int
    ) -> None:
        written = Written()
        written.say(IaxSubclass.REGACK, *said)
        assert written.registration.seen.expires_at == START + refresh_s

    def test_a_refresh_that_is_too_long(self) -> None:
        written = Written()
        written.say(IaxSubclass.REGACK, (ElementType.REFRESH, (65535, 2)))
        assert written.registration.seen.expires_at == START + 3600


class TestHostile:
    @pytest.mark.parametrize(
        ("methods", "challenge"), [(1, "123"), (4, "123"), (0, "123"), (2, ""), (2, "1" * 65)]
    )
    def test_no_proof_but_one_by_md5_is_given(self, methods: int, challenge: str) -> None:
        written = Written()
        written.say(
            IaxSubclass.REGAUTH,
            (ElementType.AUTHMETHODS, (methods, 2)),
            (ElementType.CHALLENGE, challenge),
        )
        assert written.asked.subclass == IaxSubclass.ACK
        assert written.registered is Registered.REFUSED
        assert written.registration.seen.cause == Cause.FACILITY_NOT_IMPLEMENTED

    def test_without_methods_or_challenge_no_proof_is_given(self) -> None:
        written = Written()
        written.say(IaxSubclass.REGAUTH)
        assert written.registered is Registered.REFUSED

    def test_a_challenge_of_our_own_is_not_answered(self) -> None:
        written = Written()
        ours = written.peer.endpoint.issued.issue(Random(3).randbytes, START)
        written.say(
            IaxSubclass.REGAUTH, (ElementType.AUTHMETHODS, (2, 2)), (ElementType.CHALLENGE, ours)
        )
        assert len(written.peer.got(IaxSubclass.REGREQ)) == 1
        assert written.registered is Registered.REFUSED

    def test_a_second_challenge_is_not_answered(self) -> None:
        written = Written()
        written.challenge()
        written.peer.iseqno = 2
        written.challenge()
        assert written.asked.subclass == IaxSubclass.ACK
        requests = written.peer.got(IaxSubclass.REGREQ)
        assert len(requests) == 2

    def test_a_second_token_and_an_empty_one_are_not_taken(self) -> None:
        written = Written()
        written.say(IaxSubclass.CALLTOKEN, source=1)
        assert len(written.peer.received) == 1
        for _ in range(3):
            written.say(IaxSubclass.CALLTOKEN, (ElementType.CALLTOKEN, b"t"), source=1)
        assert len(written.peer.received) == 2
        assert written.peer.endpoint.dropped == {"malformed": 3}

    def test_a_frame_that_is_ahead_or_behind_changes_nothing(self) -> None:
        written = Written()
        written.say(IaxSubclass.REGREJ, oseqno=3)
        assert written.registered is Registered.NOT_YET
        assert len(written.peer.received) == 1
        written.peer.oseqno = 0
        written.challenge()
        written.say(IaxSubclass.REGREJ, oseqno=0)
        assert written.asked.subclass == IaxSubclass.ACK
        assert written.registered is Registered.NOT_YET

    def test_what_does_not_belong_to_a_registration_is_acknowledged_alone(self) -> None:
        written = Written()
        written.say(IaxSubclass.PING)
        assert written.asked.subclass == IaxSubclass.ACK
        assert written.registered is Registered.NOT_YET

    def test_a_vnak_brings_the_request_again(self) -> None:
        written = Written()
        written.peer.iseqno = 0
        written.say(IaxSubclass.VNAK)
        assert written.asked.retransmission
        assert written.asked.subclass == IaxSubclass.REGREQ

    def test_a_frame_of_another_dialog_or_type_is_malformed(self) -> None:
        written = Written()
        written.challenge()
        written.say(IaxSubclass.REGACK, source=9407)
        assert written.registered is Registered.NOT_YET
        written.peer.call_number = 9406
        written.peer.send(FrameType.CONTROL, 4)
        written.peer.put(FullFrame(9406, written.peer.other_call_number, 0, 1, 2, 6, 15, b"\x06"))
        written.peer.inject(b"\x80\x00" + written.peer.other_call_number.to_bytes(2, "big") * 5)
        assert written.peer.endpoint.dropped == {"malformed": 4}

    def test_from_another_address_nothing_is_believed(self) -> None:
        written = Written()
        number = written.peer.received[0].frame.source_call_number
        refusal = FullFrame(1, number, 0, 0, 1, FrameType.IAX, IaxSubclass.REGREJ)
        written.peer.inject(refusal.encode(), STRANGER)
        assert written.registered is Registered.NOT_YET
        assert written.peer.endpoint.dropped == {"no such call": 1}
