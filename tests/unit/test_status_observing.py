"""What is told of links and calls is what two engines did, and ended calls had done."""

import os
from collections import Counter
from dataclasses import dataclass
from typing import Any

import pytest
import trio

from bridge.iax2 import (
    Address,
    Call,
    CallEnded,
    EndReason,
    KeyOrigin,
    Qualification,
    Reachability,
    Registered,
    RegistrantSeen,
    RegistrationSeen,
)
from bridge.iax2.auth import derive_key
from bridge.iax2.cipher import Sealer
from bridge.iax2.constants import Format, FrameType, IaxSubclass
from bridge.iax2.frames import FullFrame
from bridge.status.grading import UNREADABLE_PER_MINUTE_MAX
from bridge.status.model import (
    CallStatus,
    Grade,
    Key,
    LinkStatus,
    OurRegistration,
    PeerRegistration,
    Status,
    Verdict,
)
from bridge.status.observing import SAMPLE_S, Minute, Observer
from tests.lab.iax2_pair import Pair, call_profile
from tests.lab.iax2_wire import FAR, NEAR

SILENCE = b"\xff" * 160


@dataclass
class SiteLink:
    name: str = "hq"
    address: Address | None = FAR
    qualification: Qualification | None = None
    registration_seen: RegistrationSeen | None = None
    registrant_seen: RegistrantSeen | None = None


class Stage:
    """A pair of engines, the near one watched."""

    def __init__(self, **pair: Any) -> None:  # noqa: ANN401
        self.pair = Pair(**pair)
        self.link = SiteLink()
        self.outside: Counter[str] = Counter()
        self.observer = Observer(
            "site",
            [self.link, SiteLink("spare", None)],
            lambda: self.pair.now,
            self.outside,
            lambda: {"taken": 1},
        )
        self._told = 0

    def place(self, rekey_s: float | None = None) -> Call:
        profile = call_profile(self.pair.secret, rekey_s=rekey_s)
        call = self.pair.near.place_call(profile, FAR, self.pair.now)
        self.observer.started(call, "hq")
        return call

    def answered(self, rekey_s: float | None = None) -> tuple[Call, Any]:
        call = self.place(rekey_s)
        self.pair.exchange()
        far_call = self.pair.events[FAR][-1].call
        far_call.accept(Format.ULAW, self.pair.now)  # type: ignore[attr-defined]
        far_call.answer(self.pair.now)  # type: ignore[attr-defined]
        self.tell()
        return call, far_call

    def tell(self) -> None:
        self.pair.exchange()
        events = self.pair.events[NEAR]
        for event in events[self._told :]:
            self.observer.handle_event(event)
        self._told = len(events)

    async def status(self) -> Status:
        return await self.observer.status()

    async def call(self) -> CallStatus:
        (only,) = (await self.status()).calls
        return only

    async def hq(self) -> LinkStatus:
        return (await self.status()).links[0]


async def test_a_link_that_was_never_used_is_unseen() -> None:
    status = await Stage().status()
    assert [(link.link, link.peer) for link in status.links] == [
        ("hq", "192.0.2.2:4569"),
        ("spare", None),
    ]
    assert status.links[0].verdict.grade is Grade.UNSEEN
    assert status.links[1].verdict.grade is Grade.DOWN
    assert status.phones == {"taken": 1}
    assert not status.calls


async def test_how_registrations_stand() -> None:
    stage = Stage()
    link, now = stage.link, stage.pair.now
    assert (await stage.hq()).our_registration is None
    assert (await stage.hq()).peer_registration is None
    link.address = None
    link.registration_seen, link.registrant_seen = RegistrationSeen(), RegistrantSeen(refused=4)
    told = await stage.hq()
    assert told.our_registration == OurRegistration("not yet registered", None, None, 0, None)
    assert told.peer_registration == PeerRegistration(None, 4)
    assert told.verdict == Verdict(Grade.DOWN, "the peer has not registered")
    link.address = FAR
    link.registration_seen = RegistrationSeen(Registered.REFUSED, now - 9, None, 2, 29)
    link.registrant_seen = RegistrantSeen(FAR, now + 70)
    told = await stage.hq()
    assert told.our_registration == OurRegistration("refused", 9, None, 2, 29)
    assert told.peer_registration == PeerRegistration(70, 0)
    assert told.verdict.grade is Grade.UNSEEN


async def test_a_call_that_is_up_is_encrypted_both_ways_as_counted() -> None:
    stage = Stage()
    near, far = stage.answered()
    stage.pair.now += 1
    for frame in range(5):
        near.send_voice(SILENCE, frame * 20, stage.pair.now)
        far.send_voice(SILENCE, frame * 20 + 1000, stage.pair.now)
    stage.tell()
    call = await stage.call()
    assert (call.link, call.direction, call.state) == ("hq", "to peer", "up")
    assert (call.cipher, call.codec, call.age_s) == ("AES-128-CBC", "ulaw", 1.0)
    assert call.sent.voice_frames == call.received.voice_frames == 5
    assert call.sent.clear_frames == 2  # NEW, and NEW with the token
    assert call.received.clear_frames == 2  # CALLTOKEN and AUTHREQ
    assert call.sent.full_frames == near.statistics.sent_encrypted > 3
    assert call.received.full_frames == near.statistics.received_encrypted > 3
    assert call.received.dropped.total == 0
    assert call.received.loss_percent == 0
    assert call.rtt_ms is not None
    assert (call.verdict.grade, call.verdict.reason) == (Grade.GOOD, "encrypted both ways")
    link = await stage.hq()
    assert (link.live_calls, link.calls, link.verdict) == (1, 1, call.verdict)
    assert (link.sent, link.received) == (call.sent, call.received)


async def test_keys_of_either_direction_with_their_age() -> None:
    stage = Stage()
    _, far = stage.answered(rekey_s=20)
    stage.observer.started(far, "spare")
    stage.pair.elapse(15)
    near_side, far_side = (await stage.status()).calls
    made = Key(KeyOrigin.HANDSHAKE, 15.0)
    assert (near_side.sending_key, near_side.receiving_key) == (made, made)
    assert near_side.verdict.grade is far_side.verdict.grade is Grade.GOOD
    stage.pair.elapse(10)
    near_side, far_side = (await stage.status()).calls
    made = Key(KeyOrigin.HANDSHAKE, 25.0)
    assert near_side.receiving_key == far_side.sending_key == made
    assert near_side.sending_key == Key(KeyOrigin.OURS, 5.0)
    assert far_side.receiving_key is not None
    assert far_side.receiving_key.origin is KeyOrigin.PEER
    assert far_side.receiving_key.age_s <= 5.0
    assert near_side.verdict.grade is Grade.GOOD
    assert far_side.verdict.grade is Grade.WEAK
    assert "the peer rotates its key, which weakens it" in far_side.verdict.reason


async def test_whether_the_peer_answers_and_how_fast() -> None:
    stage = Stage()
    link = await stage.hq()
    assert (link.reachability, link.reachability_s, link.rtt_ms) == (None, None, None)
    since = stage.pair.now
    stage.link.qualification = Qualification(Reachability.REACHABLE, since, 0.0125, pokes=1)
    stage.pair.now += 7
    link = await stage.hq()
    assert link.reachability is Reachability.REACHABLE
    assert (link.reachability_s, link.rtt_ms, link.jitter_ms) == (7.0, 12.5, None)
    stage.link.qualification = Qualification(Reachability.UNREACHABLE, since, 0.0125, pokes=6)
    assert (await stage.hq()).verdict.grade is Grade.DOWN


async def test_the_jitter_of_a_link_is_the_worst_of_its_calls() -> None:
    stage = Stage()
    for step_s in (0.02, 0.09):
        _, far = stage.answered()
        for frame in range(9):
            far.send_voice(SILENCE, 1000 + frame * 20, stage.pair.now)
            stage.tell()
            stage.pair.now += step_s
    jitters = [call.jitter_ms for call in (await stage.status()).calls]
    assert None not in jitters
    assert jitters[0] != jitters[1]
    assert (await stage.hq()).jitter_ms == max(jitters)  # type: ignore[type-var]


async def test_what_the_peer_reports_of_our_voice() -> None:
    stage = Stage()
    stage.answered()
    before = await stage.call()
    assert (before.far_jitter_ms, before.far_loss_percent) == (None, None)
    stage.pair.elapse(30)  # a PING each 21 s, whose PONG brings it
    after = await stage.call()
    assert (after.far_jitter_ms, after.far_loss_percent) == (0, 0)


async def test_the_side_that_is_called_says_so() -> None:
    stage = Stage()
    _, far = stage.answered()
    stage.observer.started(far, "spare")
    assert [call.direction for call in (await stage.status()).calls] == ["to peer", "from peer"]


async def test_a_call_being_set_up_is_pending_and_judges_no_link() -> None:
    stage = Stage()
    stage.place()
    call = await stage.call()
    assert call.verdict.grade is Grade.PENDING
    assert (call.encrypted, call.cipher, call.codec) == (False, None, None)
    assert (call.rtt_ms, call.jitter_ms, call.received.loss_percent) == (None, None, None)
    assert (await stage.hq()).verdict.grade is Grade.UNSEEN


async def test_a_caller_with_another_secret_shows_at_its_link() -> None:
    stage = Stage()
    stage.observer.refused("hq")
    verdict = (await stage.hq()).verdict
    assert verdict.grade is Grade.BAD
    assert "another secret" in verdict.reason


async def test_sums_of_a_link_keep_what_ended_calls_did() -> None:
    stage = Stage()
    near, _ = stage.answered()
    before = await stage.hq()
    near.hang_up(stage.pair.now)
    stage.tell()
    status = await stage.status()
    link = status.links[0]
    assert not status.calls
    assert (link.live_calls, link.calls) == (0, 1)
    assert link.sent.full_frames > before.sent.full_frames
    assert link.received.full_frames == before.received.full_frames + 1  # the HANGUP's ACK
    assert link.last_end == "ended by this side"
    assert link.verdict.grade is Grade.GOOD
    assert link.verdict.reason == "at the last call: encrypted both ways"
    stage.answered()
    again = await stage.hq()
    assert (again.live_calls, again.calls) == (1, 2)
    assert again.sent.full_frames > link.sent.full_frames


async def test_secrets_that_differ_are_bad_while_it_lasts_and_after() -> None:
    stage = Stage(far_secrets=(b"another secret of that user",))
    call = stage.place()
    stage.tell()
    assert call.is_encrypted
    assert (await stage.call()).verdict.grade is Grade.PENDING
    garbage = Sealer(derive_key(b"1", b"2")).seal_full(_frame(call).encode())
    stage.pair.near.receive_datagram(garbage, FAR, stage.pair.now)
    assert (await stage.call()).verdict.grade is Grade.BAD
    stage.pair.elapse(6)
    stage.tell()
    link = await stage.hq()
    assert link.verdict.grade is Grade.BAD
    assert "secrets differ?" in link.verdict.reason


async def test_garbage_weakens_a_call_for_a_minute() -> None:
    stage = Stage()
    near, _ = stage.answered()
    stage.observer.sample()
    for _ in range(UNREADABLE_PER_MINUTE_MAX + 1):
        octets = _frame(near).encode()[:4] + os.urandom(32)
        stage.pair.near.receive_datagram(octets, FAR, stage.pair.now)
    weak = await stage.call()
    assert weak.unreadable_last_minute == UNREADABLE_PER_MINUTE_MAX + 1
    assert weak.verdict.grade is Grade.WEAK
    assert weak.verdict.reason.startswith("encrypted both ways; 4 frames in the last minute")
    assert (await stage.hq()).unreadable_last_minute == weak.unreadable_last_minute
    for _ in range(8):
        stage.pair.elapse(SAMPLE_S)
        stage.observer.sample()
    later = await stage.call()
    assert later.received.dropped.unreadable == UNREADABLE_PER_MINUTE_MAX + 1
    assert later.unreadable_last_minute == 0
    assert later.verdict.grade is Grade.GOOD
    assert (await stage.hq()).unreadable_last_minute == 0


async def test_frames_in_clear_weaken_a_call() -> None:
    stage = Stage()
    near, _ = stage.answered()
    stage.pair.near.receive_datagram(_frame(near).encode(), FAR, stage.pair.now)
    call = await stage.call()
    assert call.received.dropped.clear == 1
    assert call.verdict.grade is Grade.WEAK
    assert "1 frames in clear were dropped" in call.verdict.reason


async def test_an_end_of_a_call_that_nobody_announced_is_nothing() -> None:
    stage = Stage()
    near, _ = stage.answered()
    stranger = stage.pair.near.place_call(call_profile(), FAR, stage.pair.now)
    stage.observer.handle_event(CallEnded(stranger, EndReason.LOCAL))
    stage.observer.handle_event(CallEnded(near, EndReason.LOCAL))
    stage.observer.handle_event(CallEnded(near, EndReason.LOCAL))
    assert (await stage.hq()).calls == 1


async def test_others_get_their_turn_and_a_call_that_ends_meanwhile_counts_once() -> None:
    stage = Stage()
    near, _ = stage.answered()
    expected = (await stage.hq()).sent
    for _ in range(120):
        stage.place()

    async def end_all() -> None:
        near.hang_up(stage.pair.now)
        stage.observer.handle_event(CallEnded(near, EndReason.LOCAL))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(end_all)
        status = await stage.status()
    assert len(status.calls) == 120
    assert status.links[0].live_calls == 120
    assert status.links[0].sent.full_frames == expected.full_frames + 1  # the HANGUP


async def test_it_samples_by_itself(autojump_clock: trio.testing.MockClock) -> None:  # noqa: ARG001
    stage = Stage()
    near, _ = stage.answered()
    with trio.move_on_after(SAMPLE_S * 1.5):
        await stage.observer.run()
    near.statistics.dropped_implausible += 2
    assert (await stage.call()).unreadable_last_minute == 2
    assert (await stage.status()).uptime_s == 0  # the pair's clock stood still


def test_a_minute_forgets_what_is_older() -> None:
    minute = Minute()
    assert minute.growth(3) == 3
    for second in range(0, 200, 10):
        minute.sample(second, second)
    assert minute.growth(190) == 60
    assert len(minute._samples) == 7


@pytest.mark.parametrize(
    ("address", "text"),
    [(("2001:db8::1", 4569, 0, 0), "[2001:db8::1]:4569"), (FAR, "192.0.2.2:4569")],
)
async def test_addresses_read_as_usual(address: Address, text: str) -> None:
    stage = Stage()
    stage.link.address = address
    assert (await stage.hq()).peer == text


def _frame(call: Call) -> FullFrame:
    """A HANGUP from the peer, as it would be now."""
    sequence = call._channel.sequence
    return FullFrame(
        call.peer_call_number,
        call.call_number,
        1,
        sequence.iseqno,
        sequence.oseqno,
        FrameType.IAX,
        IaxSubclass.HANGUP,
    )
