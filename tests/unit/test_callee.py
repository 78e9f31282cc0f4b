"""The callee's handshake against a caller that does what each test says."""

from dataclasses import replace
from ipaddress import ip_network
from random import Random

import pytest

from bridge.iax2 import (
    Address,
    CallEnded,
    Cause,
    Endpoint,
    EndReason,
    Format,
    IncomingCall,
    LocalProtocolError,
    User,
)
from bridge.iax2.callee import PROOFS_MAX
from bridge.iax2.constants import AuthMethod, ElementType, Encryption, FrameType, IaxSubclass
from bridge.iax2.elements import InformationElements
from bridge.iax2.states import State
from tests.lab.iax2_pair import SECRET, USERNAME, Pair
from tests.lab.iax2_peer import PEER, Peer
from tests.lab.iax2_phases import (
    ask_token,
    callee_in,
    callee_of,
    new_elements,
    prove,
    send_new,
    taker,
)
from tests.lab.iax2_wire import FAR
from tests.vectors.reference import reference_key


def ring(peer: Peer, username: str = USERNAME) -> None:
    send_new(peer, new_elements(ask_token(peer), username=username))


def behaviour(peer: Peer) -> list[tuple[float, int, int, int]]:
    """Return when what was sent, but for what is random in it."""
    return [
        (each.at, each.frame.subclass, each.frame.oseqno, len(each.datagram))
        for each in peer.received
    ]


class TestChallenge:
    def test_is_128_bits_with_md5_and_aes_alone(self) -> None:
        peer = taker()
        ring(peer)
        (question,) = peer.got(IaxSubclass.AUTHREQ)
        assert question.elements.uint(ElementType.AUTHMETHODS, 2) == AuthMethod.MD5
        assert question.elements.uint(ElementType.ENCRYPTION, 2) == Encryption.AES128
        assert len(question.elements.get(ElementType.CHALLENGE) or b"") == 32
        assert question.elements.text(ElementType.USERNAME) == USERNAME

    def test_is_another_for_each_call(self) -> None:
        peer = taker()
        for number in range(5):
            peer.call_number = 100 + number
            ring(peer)
        challenges = {each.elements.get(ElementType.CHALLENGE) for each in peer.got(8)}
        assert len(challenges) == 5

    def test_its_challenge_is_known_as_ours(self) -> None:
        peer, _ = callee_in(State.AUTHREQ_SENT)
        question = peer.got(IaxSubclass.AUTHREQ)[-1].elements.get(ElementType.CHALLENGE) or b""
        assert peer.endpoint.issued.holds(question, peer.now)

    def test_its_proof_makes_a_call(self) -> None:
        peer = taker()
        ring(peer)
        assert not callee_of(peer).is_authenticated
        assert not peer.told(IncomingCall)
        prove(peer)
        call = callee_of(peer)
        assert call.is_authenticated
        formats = (Format.ULAW, Format.ALAW)
        assert peer.told(IncomingCall) == [IncomingCall(call, USERNAME, "enc", formats)]

    def test_each_of_the_users_secrets_will_do(self) -> None:
        for secret in (b"before the change", b"after the change"):
            peer = taker(User(USERNAME, (b"before the change", b"after the change")))
            ring(peer)
            prove(peer, secret)
            assert callee_of(peer).is_authenticated

    def test_a_caller_that_gave_up_ends_it_inside_the_encryption(self) -> None:
        """It has proven nothing but that it is over, and gets its acknowledgement encrypted."""
        peer, call = callee_in(State.AUTHREQ_SENT)
        question = peer.got(IaxSubclass.AUTHREQ)[-1].elements.get(ElementType.CHALLENGE) or b""
        peer.encrypt_with(reference_key(question, SECRET))
        peer.send_iax(IaxSubclass.HANGUP)
        assert call.state is State.ENDED
        assert not call.is_authenticated
        assert not peer.told(IncomingCall)
        assert peer.told(CallEnded)[0].reason is EndReason.HANGUP
        assert peer.got(IaxSubclass.ACK)[-1].key is not None
        peer.elapse(10)
        assert peer.endpoint._admission.sources == 0

    def test_an_unknown_user_and_a_wrong_secret_are_treated_alike(self) -> None:
        stranger, guesser = taker(), taker()
        ring(stranger, "nobody-1")
        prove(stranger, b"a guess")
        ring(guesser)
        prove(guesser, b"a guess")
        for peer, reason in (
            (stranger, EndReason.UNKNOWN_USER),
            (guesser, EndReason.SECRETS_DIFFER),
        ):
            peer.keys.clear()
            peer.elapse(60)
            assert not peer.told(IncomingCall)
            assert [event.reason for event in peer.told(CallEnded)] == [reason]
        assert behaviour(stranger) == behaviour(guesser)

    @pytest.mark.parametrize(
        ("network", "address", "is_known"),
        [
            ("192.0.2.0/24", PEER, True),
            ("192.0.2.9/32", ("::ffff:192.0.2.9", 4569, 0, 0), True),
            ("fe80::/64", ("fe80::9%eth0", 4569, 0, 3), True),
            ("198.51.100.0/24", PEER, False),
            ("2001:db8::/32", PEER, False),
            ("192.0.2.0/24", ("2001:db8::9", 4569, 0, 0), False),
        ],
    )
    def test_a_user_may_call_from_its_networks_alone(
        self, network: str, address: Address, *, is_known: bool
    ) -> None:
        user = User(USERNAME, (SECRET,), networks=(ip_network(network),))
        assert user.may_call_from(address) is is_known

    def test_a_user_from_elsewhere_is_treated_as_an_unknown_one(self) -> None:
        elsewhere = taker(User(USERNAME, (SECRET,), networks=(ip_network("198.51.100.0/24"),)))
        stranger = taker()
        ring(elsewhere)
        ring(stranger, "nobody-1")
        for peer in (elsewhere, stranger):
            prove(peer)
            peer.keys.clear()
            peer.elapse(60)
            assert not peer.told(IncomingCall)
        assert behaviour(elsewhere) == behaviour(stranger)

    @pytest.mark.parametrize("username", [USERNAME, "of-two-1", "nobody-1"])
    def test_any_users_proof_costs_as_many_decryptions(
        self, username: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        tried = []

        def nothing(*arguments: object) -> tuple[()]:
            tried.append(arguments)
            return ()

        monkeypatch.setattr("bridge.iax2.callee.frames_untrusted", nothing)
        peer = taker(User(USERNAME, (SECRET,)), User("of-two-1", (b"one", b"two")))
        ring(peer, username)
        prove(peer)
        assert len(tried) == 2

    @pytest.mark.parametrize("username", [USERNAME, "nobody-1"])
    def test_what_cannot_be_decrypted_ends_the_call_within_five_seconds(
        self, username: str
    ) -> None:
        peer = taker()
        ring(peer, username)
        peer.elapse(1)
        prove(peer, b"a guess")
        peer.elapse(2)
        prove(peer, b"another guess")
        peer.elapse(2.99)
        assert not peer.told(CallEnded)
        peer.elapse(0.01)
        assert len(peer.told(CallEnded)) == 1

    def test_a_proof_after_garbage_makes_a_call_that_stays(self) -> None:
        peer, call = callee_in(State.AUTHREQ_SENT)
        peer.inject(b"\x80\x4d" + peer.other_call_number.to_bytes(2, "big") + bytes(32))
        prove(peer)
        peer.elapse(20)
        assert call.state is State.AUTHENTICATED

    def test_a_call_gets_few_guesses(self) -> None:
        peer, call = callee_in(State.AUTHREQ_SENT)
        for secret in (*(b"guess %d" % number for number in range(PROOFS_MAX)), SECRET):
            prove(peer, secret)
            peer.oseqno -= 1
        assert call.state is State.AUTHREQ_SENT
        peer.elapse(5)
        assert [event.reason for event in peer.told(CallEnded)] == [EndReason.SECRETS_DIFFER]

    def test_the_proof_of_another_secret_inside_the_right_encryption_is_none(self) -> None:
        peer, call = callee_in(State.AUTHREQ_SENT)
        question = peer.got(IaxSubclass.AUTHREQ)[-1].elements.get(ElementType.CHALLENGE) or b""
        peer.encrypt_with(reference_key(question, SECRET))
        peer.send_iax(IaxSubclass.AUTHREP, (ElementType.MD5_RESULT, "0" * 32))
        assert call.state is State.AUTHREQ_SENT
        assert call.statistics.dropped_implausible == 1

    @pytest.mark.parametrize("data", [b"", b"\x10\x20short"])
    def test_a_proof_without_a_result_is_none(self, data: bytes) -> None:
        peer, call = callee_in(State.AUTHREQ_SENT)
        question = peer.got(IaxSubclass.AUTHREQ)[-1].elements.get(ElementType.CHALLENGE) or b""
        peer.encrypt_with(reference_key(question, SECRET))
        peer.send(FrameType.IAX, IaxSubclass.AUTHREP, data)
        assert call.state is State.AUTHREQ_SENT
        assert call.statistics.dropped_implausible == 1
        assert not peer.endpoint.dropped

    def test_another_frame_under_the_right_key_is_no_proof(self) -> None:
        peer, call = callee_in(State.AUTHREQ_SENT)
        question = peer.got(IaxSubclass.AUTHREQ)[-1].elements.get(ElementType.CHALLENGE) or b""
        peer.encrypt_with(reference_key(question, SECRET))
        peer.send_iax(IaxSubclass.PING)
        assert call.state is State.AUTHREQ_SENT

    def test_a_proof_far_from_its_time_is_none(self) -> None:
        peer, call = callee_in(State.AUTHREQ_SENT)
        peer.started_at -= 11
        prove(peer)
        assert call.state is State.AUTHREQ_SENT

    def test_a_proof_in_clear_is_none(self) -> None:
        peer, call = callee_in(State.AUTHREQ_SENT)
        question = peer.got(IaxSubclass.AUTHREQ)[-1].elements.get(ElementType.CHALLENGE) or b""
        proof = reference_key(question, SECRET).hex()
        peer.send_iax(IaxSubclass.AUTHREP, (ElementType.MD5_RESULT, proof))
        assert call.state is State.AUTHREQ_SENT
        assert call.statistics.dropped_implausible == 1

    def test_garbage_is_no_proof_and_ends_nothing(self) -> None:
        peer, call = callee_in(State.AUTHREQ_SENT)
        noise = Random(1)
        header = b"\x80\x4d" + peer.other_call_number.to_bytes(2, "big")
        for octets in range(48, 48 + PROOFS_MAX - 1):
            peer.inject(header + noise.randbytes(octets))
        assert call.statistics.dropped_implausible == PROOFS_MAX - 1
        prove(peer)
        assert call.state is State.AUTHENTICATED

    def test_a_caller_that_never_proves_itself_is_given_up_after_eight_seconds(self) -> None:
        peer, call = callee_in(State.AUTHREQ_SENT)
        peer.elapse(7.99)
        assert not peer.told(CallEnded)
        peer.elapse(0.01)
        assert call.state is State.HANGUP_SENT
        assert not peer.told(IncomingCall)

    def test_its_acknowledgement_in_clear_is_heard(self) -> None:
        peer, call = callee_in(State.AUTHREQ_SENT)
        question = peer.got(IaxSubclass.AUTHREQ)[-1].frame
        ack = peer.frame(FrameType.IAX, IaxSubclass.ACK)
        peer.put(replace(ack, timestamp_ms=question.timestamp_ms))
        peer.elapse(5)
        assert len(peer.got(IaxSubclass.AUTHREQ)) == 1
        assert call.statistics.received_clear == 1


class TestDecision:
    def test_a_caller_that_dies_meanwhile_is_noticed(self) -> None:
        peer, call = callee_in(State.AUTHENTICATED)
        peer.acknowledges = False
        peer.elapse(30)
        assert peer.told(CallEnded) == [CallEnded(call, EndReason.NO_RESPONSE)]

    def test_accept_and_answer(self) -> None:
        peer, call = callee_in(State.AUTHENTICATED)
        call.accept(Format.ALAW, peer.now)
        peer.take()
        (accepted,) = peer.got(IaxSubclass.ACCEPT)
        assert accepted.elements.uint(ElementType.FORMAT, 4) == Format.ALAW
        assert accepted.elements.uint(ElementType.FORMAT2, 9) == Format.ALAW
        assert accepted.key is not None
        assert call.voice is not None
        call.answer(peer.now)
        call.answer(peer.now)
        peer.take()
        assert len(peer.got(4, FrameType.CONTROL)) == 2
        assert call.state is State.UP

    @pytest.mark.parametrize("media_format", [Format.GSM, Format.SLIN, Format.G722])
    def test_a_format_that_was_not_offered_changes_nothing(self, media_format: Format) -> None:
        peer, call = callee_in(State.AUTHENTICATED)
        sent = len(peer.received)
        with pytest.raises(LocalProtocolError):
            call.accept(media_format, peer.now)
        peer.take()
        assert call.state is State.AUTHENTICATED
        assert len(peer.received) == sent

    def test_a_format_of_unknown_frame_size_changes_nothing(self) -> None:
        peer = taker()
        elements = [pair for pair in new_elements(ask_token(peer)) if pair[0] != 8]
        capability = (ElementType.CAPABILITY, (Format.SLIN, 4))
        send_new(peer, InformationElements.of(capability, *elements))
        prove(peer)
        assert peer.told(IncomingCall)[0].formats == (Format.SLIN,)
        with pytest.raises(LocalProtocolError):
            callee_of(peer).accept(Format.SLIN, peer.now)
        assert callee_of(peer).state is State.AUTHENTICATED

    def test_reject_carries_its_cause(self) -> None:
        peer, call = callee_in(State.AUTHENTICATED)
        call.reject(peer.now, Cause.USER_BUSY)
        peer.take()
        (rejected,) = peer.got(IaxSubclass.REJECT)
        assert rejected.elements.uint(ElementType.CAUSECODE, 1) == Cause.USER_BUSY
        assert peer.told(CallEnded) == [CallEnded(call, EndReason.LOCAL)]
        assert call.state is State.ENDED

    def test_a_caller_that_hung_up_before_cannot_be_accepted(self) -> None:
        peer, call = callee_in(State.AUTHENTICATED)
        peer.send_iax(IaxSubclass.HANGUP)
        with pytest.raises(LocalProtocolError):
            call.accept(Format.ULAW, peer.now)

    def test_a_caller_that_asked_too_much_meanwhile_is_gone_for_good(self) -> None:
        """64 answers are outstanding, so that ACCEPT ends the call: with no timers left over."""
        peer, call = callee_in(State.AUTHENTICATED)
        peer.acknowledges = False
        for _ in range(64):
            peer.put(replace(peer.frame(FrameType.IAX, IaxSubclass.LAGRQ), iseqno=1))
            peer.oseqno += 1
        call.accept(Format.ULAW, peer.now)
        assert call.state is State.ENDED
        peer.take()
        before = len(peer.received)
        peer.elapse(120)
        assert len(peer.received) == before
        assert peer.endpoint.next_timeout() is None
        assert peer.endpoint.call_numbers_leaked == 0


def test_reprs_show_neither_secret_nor_number() -> None:
    user = User(USERNAME, (b"s3cr3t",))
    assert "s3cr3t" not in repr(user)
    peer, call = callee_in(State.UP)
    assert "enc" not in repr(peer.told(IncomingCall)[0])
    assert "77" not in repr(call).replace(str(call.id), "")


def test_an_endpoint_without_users_takes_no_calls() -> None:
    peer = Peer(Endpoint(entropy=Random(1).randbytes))
    peer.put(peer.frame(FrameType.IAX, IaxSubclass.NEW, new_elements().encode()))
    assert not peer.received
    assert peer.endpoint.dropped["no calls are taken"] == 1


def test_the_caller_hears_nothing_of_a_call_that_it_gave_up() -> None:
    pair = Pair()
    call = pair.place()
    call.hang_up(pair.now)
    pair.elapse(1)
    assert [event.reason for event in pair.told(FAR, CallEnded)] == [EndReason.HANGUP]
