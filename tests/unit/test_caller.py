"""The caller's handshake against a peer that does what each test says."""

from dataclasses import replace
from random import Random

import pytest

from bridge.iax2 import (
    CallAccepted,
    CallAnswered,
    CallEnded,
    Cause,
    ChallengeMemory,
    EndReason,
    Format,
)
from bridge.iax2.auth import md5_result
from bridge.iax2.constants import AuthMethod, ElementType, Encryption, FrameType, IaxSubclass
from bridge.iax2.frames import FullFrame, parse_frame_untrusted
from bridge.iax2.states import State
from tests.lab.iax2_pair import SECRET, Pair, Sent, call_profile
from tests.lab.iax2_peer import Peer
from tests.lab.iax2_phases import (
    CHALLENGE,
    accept,
    answer,
    caller_in,
    challenge,
    offer_token,
    place,
)
from tests.lab.iax2_wire import NEAR
from tests.vectors.reference import reference_key

PROOF = md5_result(CHALLENGE, SECRET)


def reasons(peer: Peer) -> list[EndReason]:
    return [event.reason for event in peer.told(CallEnded)]


def sent_in_clear(peer: Peer) -> bytes:
    return b"".join(received.datagram for received in peer.received if received.key is None)


class TestChallenge:
    def test_the_answer_is_the_first_encrypted_frame(self) -> None:
        peer, call = place()
        challenge(peer)
        (proof,) = peer.got(IaxSubclass.AUTHREP)
        assert proof.key == reference_key(CHALLENGE, SECRET)
        assert proof.elements.pairs == ((ElementType.MD5_RESULT, PROOF),)
        assert len(proof.datagram) == 68
        assert call.is_encrypted
        assert PROOF not in sent_in_clear(peer)

    @pytest.mark.parametrize(
        ("methods", "encryption"),
        [
            pytest.param(AuthMethod.MD5, None, id="no ENCRYPTION"),
            pytest.param(AuthMethod.MD5, 0, id="no method of encryption"),
            pytest.param(AuthMethod.MD5, Encryption.KEY_ROTATION, id="rotation without AES"),
            pytest.param(AuthMethod.PLAINTEXT, Encryption.AES128, id="plaintext"),
            pytest.param(AuthMethod.RSA, Encryption.AES128, id="RSA"),
            pytest.param(0, Encryption.AES128, id="no method"),
        ],
    )
    def test_a_downgrade_ends_the_call_and_gets_no_proof(
        self, methods: int, encryption: int | None
    ) -> None:
        peer, call = place()
        challenge(peer, methods=methods, encryption=encryption)
        assert reasons(peer) == [EndReason.DOWNGRADE]
        assert call.state is State.HANGUP_SENT
        assert not peer.got(IaxSubclass.AUTHREP)
        assert PROOF not in sent_in_clear(peer)
        assert SECRET not in sent_in_clear(peer)
        (hangup,) = peer.got(IaxSubclass.HANGUP)
        assert hangup.elements.uint(ElementType.CAUSECODE, 1) == Cause.FACILITY_REJECTED

    @pytest.mark.parametrize("challenge_text", [b"", b"9" * 65])
    def test_no_challenge_or_an_endless_one(self, challenge_text: bytes) -> None:
        peer, _ = place()
        challenge(peer, challenge_text=challenge_text)
        assert reasons(peer) == [EndReason.PROTOCOL_ERROR]
        assert not peer.got(IaxSubclass.AUTHREP)

    @pytest.mark.parametrize("acknowledged_after_s", [0.1, 2.9, 4.5])
    def test_one_that_never_comes_ends_a_call_that_the_peer_has_acknowledged(
        self, acknowledged_after_s: float
    ) -> None:
        """Asterisk acknowledges NEW before its AUTHREQ, so no repeated NEW asks for one."""
        peer, call = place()
        offer_token(peer)
        peer.elapse(acknowledged_after_s)
        assert reasons(peer) == []
        ack = peer.frame(FrameType.IAX, IaxSubclass.ACK)
        peer.put(
            replace(ack, iseqno=1, timestamp_ms=peer.got(IaxSubclass.NEW)[-1].frame.timestamp_ms)
        )
        peer.elapse(max(3.0 - acknowledged_after_s, 0.0) + 1.1)
        assert reasons(peer) == [EndReason.LOST_CHALLENGE]
        assert call.state is State.GIVEN_UP

    def test_one_that_comes_in_time_is_not_missed(self) -> None:
        peer, call = place()
        offer_token(peer)
        peer.elapse(2.5)
        challenge(peer)
        peer.elapse(2.0)
        assert call.state is State.AUTHREP_SENT
        accept(peer)
        peer.elapse(2.0)
        assert reasons(peer) == []

    def test_a_peer_that_acknowledges_nothing_has_the_whole_set_up_time(self) -> None:
        peer, _ = place()
        offer_token(peer)
        peer.elapse(7.9)
        assert reasons(peer) == []
        peer.elapse(0.2)
        assert reasons(peer) == [EndReason.NO_RESPONSE]

    def test_a_challenge_is_answered_once(self) -> None:
        """Its answer is the key of the old call."""
        memory = ChallengeMemory(Random(1).randbytes)
        first, _ = place(call_profile(challenges=memory))
        challenge(first)
        second, _ = place(call_profile(challenges=memory))
        challenge(second)
        assert reasons(first) == []
        assert reasons(second) == [EndReason.REPLAYED_CHALLENGE]
        assert not second.got(IaxSubclass.AUTHREP)

    def test_a_challenge_of_our_own_is_not_answered(self) -> None:
        """Who calls us and is called by us could let us prove ourselves to ourselves."""
        peer, _ = place()
        question = peer.endpoint.issued.issue(Random(1).randbytes, peer.now)
        challenge(peer, challenge_text=question)
        assert reasons(peer) == [EndReason.REFLECTED_CHALLENGE]
        assert not peer.got(IaxSubclass.AUTHREP)

    def test_a_challenge_sent_again_in_clear_is_not_counted_as_dropped(self) -> None:
        peer, call = place()
        datagram = challenge(peer)
        frame = parse_frame_untrusted(datagram)
        assert isinstance(frame, FullFrame)
        for _ in range(3):
            peer.inject(replace(frame, retransmission=True).encode())
        assert call.statistics.dropped_clear == call.statistics.dropped_implausible == 0
        accept(peer)
        assert call.state is State.LINKED

    @pytest.mark.parametrize(
        "subclass",
        [
            IaxSubclass.HANGUP,
            IaxSubclass.INVAL,
            IaxSubclass.REJECT,
            IaxSubclass.ACCEPT,
            IaxSubclass.CALLTOKEN,
        ],
    )
    def test_what_else_is_in_clear_after_the_proof_is_dropped_and_counted(
        self, subclass: IaxSubclass
    ) -> None:
        peer, call = caller_in(State.AUTHREP_SENT)
        frame = peer.frame(FrameType.IAX, subclass)
        peer.put(frame, clear=True)
        peer.put(replace(frame, source_call_number=1), clear=True)
        assert call.statistics.dropped_clear == 2
        accept(peer)
        assert call.state is State.LINKED

    def test_the_endings_of_a_call_that_has_no_key_yet_are_believed(self) -> None:
        peer, call = place()
        peer.iseqno = 1
        peer.send_iax(IaxSubclass.REJECT, (ElementType.CAUSECODE, (Cause.NO_ROUTE_DESTINATION, 1)))
        assert peer.told(CallEnded) == [CallEnded(call, EndReason.REJECTED, 3)]
        assert peer.got(IaxSubclass.ACK)


class TestAccept:
    @pytest.mark.parametrize("media_format", [Format.ULAW, Format.ALAW])
    def test_the_peer_chooses_of_the_formats_offered(self, media_format: Format) -> None:
        peer, call = caller_in(State.AUTHREP_SENT)
        accept(peer, media_format)
        assert peer.told(CallAccepted) == [CallAccepted(call, media_format)]
        assert call.voice is not None
        assert call.voice.format == media_format

    @pytest.mark.parametrize("media_format", [Format.GSM, Format.ULAW | Format.ALAW, 0])
    def test_another_format_ends_the_call(self, media_format: int) -> None:
        peer, call = caller_in(State.AUTHREP_SENT)
        accept(peer, media_format)
        assert reasons(peer) == [EndReason.PROTOCOL_ERROR]
        assert call.voice is None

    def test_an_accept_without_a_format_ends_the_call(self) -> None:
        peer, _ = caller_in(State.AUTHREP_SENT)
        peer.send_iax(IaxSubclass.ACCEPT)
        assert reasons(peer) == [EndReason.PROTOCOL_ERROR]

    def test_in_clear_instead_of_a_challenge_is_a_downgrade(self) -> None:
        """So does a peer that wants no proof, and hence no encryption."""
        peer, call = place()
        peer.iseqno = 1
        accept(peer)
        assert reasons(peer) == [EndReason.DOWNGRADE]
        assert call.voice is None
        (hangup,) = peer.got(IaxSubclass.HANGUP)
        assert hangup.elements.uint(ElementType.CAUSECODE, 1) == Cause.FACILITY_REJECTED

    def test_in_clear_after_the_proof_is_not_believed_but_named_at_last(self) -> None:
        """Whoever forges it ends nothing; a peer that goes on in clear is told from silence."""
        peer, call = caller_in(State.AUTHREP_SENT)
        frame = peer.frame(FrameType.IAX, IaxSubclass.ACCEPT)
        peer.put(frame, clear=True)
        peer.elapse(4.9)
        assert reasons(peer) == []
        peer.elapse(0.1)
        assert reasons(peer) == [EndReason.DOWNGRADE]
        assert call.voice is None


class TestNoAnswer:
    def test_a_peer_that_cannot_decrypt_is_told_within_five_seconds(self) -> None:
        """As captured: Asterisk with another secret sends what we cannot decrypt either."""
        peer, _ = caller_in(State.AUTHREP_SENT)
        peer.acknowledges = False
        vnak = peer.frame(FrameType.IAX, IaxSubclass.VNAK)
        peer.put(vnak, key=bytes(16))
        peer.elapse(4.99)
        assert reasons(peer) == []
        peer.elapse(0.01)
        assert reasons(peer) == [EndReason.SECRETS_DIFFER]

    def test_so_is_one_of_our_own(self) -> None:
        """It stays silent but for its challenge, which it sends again."""
        pair = Pair(far_secrets=(b"another secret",))
        call = pair.place()
        pair.elapse(5)
        assert pair.told(NEAR, CallEnded) == [CallEnded(call, EndReason.SECRETS_DIFFER)]

    def test_a_peer_that_is_silent_after_its_challenge(self) -> None:
        peer, _ = place()
        peer.acknowledges = False
        challenge(peer)
        peer.elapse(5)
        assert reasons(peer) == [EndReason.NO_RESPONSE]
        assert len(peer.got(IaxSubclass.AUTHREP)) >= 5

    def test_the_proof_is_sent_again_with_fresh_padding_under_its_key(self) -> None:
        peer, _ = place()
        peer.acknowledges = False
        challenge(peer)
        peer.elapse(2)
        proofs = peer.got(IaxSubclass.AUTHREP)
        assert len({proof.padding for proof in proofs}) == len(proofs) > 2
        assert {proof.elements.get(ElementType.MD5_RESULT) for proof in proofs} == {PROOF}
        assert [proof.frame.retransmission for proof in proofs] == [False] + [True] * (
            len(proofs) - 1
        )

    @pytest.mark.parametrize("setup_timeout_s", [3.0, 8.0, 12.0])
    def test_an_accepted_call_that_nobody_answers(self, setup_timeout_s: float) -> None:
        peer, _ = caller_in(State.LINKED, call_profile(setup_timeout_s=setup_timeout_s))
        peer.elapse(setup_timeout_s - 0.01)
        assert reasons(peer) == []
        peer.elapse(0.01)
        assert reasons(peer) == [EndReason.NO_RESPONSE]
        (hangup,) = peer.got(IaxSubclass.HANGUP)
        assert hangup.elements.uint(ElementType.CAUSECODE, 1) == Cause.NO_USER_RESPONSE

    def test_an_answered_call_has_no_limit(self) -> None:
        pair = Pair()
        call, _ = pair.answered()
        pair.elapse(3600)
        assert call.state is State.UP

    def test_every_datagram_of_new_is_lost(self) -> None:
        pair = Pair(swallow=lambda _sent: True)
        call = pair.place()
        pair.elapse(8)
        assert pair.told(NEAR, CallEnded) == [CallEnded(call, EndReason.NO_RESPONSE)]


def test_a_whole_handshake() -> None:
    peer, call = place()
    offer_token(peer)
    challenge(peer)
    accept(peer)
    answer(peer)
    assert peer.told(CallAnswered) == [CallAnswered(call)]
    assert call.state is State.UP
    encrypted = [received.key is not None for received in peer.received]
    assert encrypted == [False, False, True, True, True]


@pytest.mark.parametrize("lost", range(8))
def test_any_one_datagram_of_a_handshake_may_be_lost(lost: int) -> None:
    pair = Pair()

    def swallow(_sent: Sent) -> bool:
        return len(pair.wire) == lost + 1

    pair.swallow = swallow
    call = pair.place()
    pair.elapse(2)
    pair.swallow = lambda _sent: False
    pair.elapse(1)
    assert call.state in (State.AUTHREP_SENT, State.LINKED)
    assert pair.far.live_calls == 1
