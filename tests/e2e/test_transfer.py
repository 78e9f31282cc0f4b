"""A phone gives its call to another phone; what both ends hear, and what the link shows."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import trio

from tests.lab.engine_far_end import FarCall, HeardVoice
from tests.lab.flow import FRAME_MS, Flow, gaps_ms, open_flow
from tests.lab.phone import SipPhone, open_phone
from tests.lab.phone_audio import PhoneAudio
from tests.lab.phone_call import PhoneCall
from tests.lab.results import record, sized
from tests.lab.two_sites import DESK, DESK_PASSWORD, PHONES, SECOND, next_call, open_sites

LISTEN_S = sized(0.8, 10)
SOON_S = 10.0
ENDS_WITHIN_S = 3.0
FRAMES = int(LISTEN_S * 1000 / FRAME_MS)


@dataclass(frozen=True, slots=True)
class Desk:
    """A flow, and another phone of its bridge, which has registered."""

    flow: Flow
    other: SipPhone
    speakers: trio.Nursery

    @property
    def uri(self) -> str:
        """The other phone, as its name at the bridge."""
        return self.at_bridge(DESK)

    def at_bridge(self, user: str) -> str:
        host, port = self.flow.bridge.sip
        return f"sip:{user}@{host}:{port}"

    async def talk(self) -> tuple[PhoneCall, FarCall]:
        """A call that is up, with audio from both sides."""
        call, far_call = await self.flow.talk()
        self.speakers.start_soon(speak, far_call, len(self.flow.far.calls))
        return call, far_call


@asynccontextmanager
async def open_desk(folder: Path) -> AsyncIterator[Desk]:
    async with (
        open_flow(folder, sip={"phones": PHONES}, allow_inline_secrets="true") as flow,
        open_phone() as other,
        trio.open_nursery() as speakers,
    ):
        await other.register(flow.bridge.sip, DESK, DESK_PASSWORD)
        yield Desk(flow, other, speakers)
        speakers.cancel_scope.cancel()


def spoken(voice: int, number: int) -> bytes:
    """A frame of a far end: whose it is, and which one."""
    return bytes([voice]) * 80 + number.to_bytes(4, "big") * 20


async def speak(far_call: FarCall, voice: int) -> None:
    """Let a far end send a frame each 20 ms until its call is over."""
    began_s, number = trio.current_time(), 0
    while not far_call.ended.is_set():
        far_call.send_voice(spoken(voice, number), number)
        number += 1
        await trio.sleep_until(began_s + number * FRAME_MS / 1000)


def voices_heard(audio: PhoneAudio, last: int) -> int:
    """How many of the last packets of a phone are voice of the first far end, in order."""
    heard = [packet.payload for packet in audio.audio_received()[-last:]]
    numbers = [int.from_bytes(each[-4:], "big") for each in heard if each[:80] == b"\x01" * 80]
    assert all(before < after for before, after in pairwise(numbers))
    return len(numbers)


def numbers_heard(far_call: FarCall, audio: PhoneAudio, last: int) -> int:
    """How many of the last frames of a link are of a phone."""
    return sum(audio.number_of(voice.payload) is not None for voice in far_call.voice[-last:])


def frames_of(voice: int, far_call: FarCall) -> int:
    """How many of the last frames of a link are another far end's voice."""
    heard = [each.payload[:80] for each in far_call.voice[-FRAMES:]]
    return heard.count(bytes([voice]) * 80)


def is_tone(heard: list[HeardVoice], phone: PhoneAudio) -> bool:
    """Whether frames are neither silence nor a phone's."""
    payloads = {each.payload for each in heard}
    return len(payloads) > 3 and not any(phone.number_of(each) for each in payloads)


async def eventually(holds: Callable[[], bool]) -> None:
    """Assert that something holds before long; a machine that is busy may take its time."""
    with trio.fail_after(SOON_S):
        while not holds():  # noqa: ASYNC110 - what is looked at are lists
            await trio.sleep(0.1)


async def assert_heard(far_call: FarCall, call: PhoneCall) -> None:
    """Assert that a phone and the far end hear each other, and nobody else."""
    await trio.sleep(LISTEN_S)
    enough = FRAMES * 0.9
    await eventually(lambda: numbers_heard(far_call, call.audio, FRAMES) > enough)
    await eventually(lambda: voices_heard(call.audio, FRAMES) > enough)


def assert_link_shows_nothing(far_call: FarCall) -> None:
    """Assert that a frame came each 20 ms, all of one size, and no digit behind the number."""
    assert gaps_ms(far_call) == {FRAME_MS}
    assert {len(voice.payload) for voice in far_call.voice} == {160}
    assert far_call.digits[-1] == "#"


async def over(call: PhoneCall) -> None:
    with trio.fail_after(ENDS_WITHIN_S):
        await call.ended.wait()


async def test_a_blind_transfer(tmp_path: Path) -> None:
    async with open_desk(tmp_path) as desk:
        call, far_call = await desk.talk()
        await assert_heard(far_call, call)
        answer = await call.refer(desk.uri)
        assert answer.status == 202
        assert answer.get("contact")
        other = await next_call(desk.other)
        assert other.called_user == DESK
        other.ring()
        assert await call.told(180) == [100, 180]
        await assert_heard(far_call, call)  # it has the call until the other one answers
        await other.answer()
        assert await call.told(200) == [100, 180, 200]
        await over(call)
        assert call.ended_by_peer
        await assert_heard(far_call, other)
        await other.reinvite("sendonly")
        await other.reinvite("sendrecv")
        await assert_heard(far_call, other)
        await other.audio.send_digits("5", 0.2)
        await eventually(lambda: far_call.digits[-2:] == "#5")
        await other.bye()
        await far_call.wait_ended(ENDS_WITHIN_S)
        far_call.digits = far_call.digits[:-1]
        assert_link_shows_nothing(far_call)
        record("transfer: blind", {"frames": len(far_call.voice), "gaps": 0})


async def test_the_phone_hangs_up_at_once_and_the_far_end_hears_ringback(tmp_path: Path) -> None:
    async with open_desk(tmp_path) as desk:
        call, far_call = await desk.talk()
        assert (await call.refer(desk.uri)).status == 202
        await call.bye()
        other = await next_call(desk.other)
        other.ring()
        await eventually(lambda: is_tone(far_call.voice[-20:], call.audio))
        await other.answer()
        await assert_heard(far_call, other)
        await other.bye()
        await far_call.wait_ended(ENDS_WITHIN_S)
        assert_link_shows_nothing(far_call)


async def test_a_phone_that_is_busy_leaves_the_call_where_it_is(tmp_path: Path) -> None:
    async with open_desk(tmp_path) as desk:
        call, far_call = await desk.talk()
        assert (await call.refer(desk.uri)).status == 202
        (await next_call(desk.other)).refuse("486 Busy Here")
        assert await call.told(200) == [100, 486]
        await assert_heard(far_call, call)
        assert not call.ended.is_set()
        await call.bye()
        await far_call.wait_ended(ENDS_WITHIN_S)
        assert_link_shows_nothing(far_call)


async def test_an_attended_transfer(tmp_path: Path) -> None:
    """The two phones talk with each other, without the bridge, and then one takes the call."""
    async with open_desk(tmp_path) as desk:
        call, far_call = await desk.talk()
        assert (await call.reinvite("sendonly")).status == 200
        question = await desk.flow.phone.call(desk.other.address, "lab", "lab")
        asked = await next_call(desk.other)
        await asked.answer()
        await question.answered(3)
        host, port = desk.other.address
        contact = f"sip:{DESK}@{host}:{port}"
        assert (await call.refer(contact, question.replaces())).status == 202
        other = await next_call(desk.other)
        assert other.header("replaces") == question.replaces()
        assert other.header("require") == "replaces"
        await other.answer()
        await asked.bye()
        await over(question)
        assert await call.told(200) == [100, 200]
        await over(call)
        await assert_heard(far_call, other)
        await other.bye()
        await far_call.wait_ended(ENDS_WITHIN_S)
        assert_link_shows_nothing(far_call)
        record("transfer: attended", {"frames": len(far_call.voice), "gaps": 0})


async def test_two_calls_of_links_are_joined(tmp_path: Path) -> None:
    async with open_desk(tmp_path) as desk:
        first, one = await desk.talk()
        second, other = await desk.talk()
        answer = await first.refer(desk.at_bridge("95551234"), second.replaces())
        assert answer.status == 202
        assert await first.told(200) == [200]
        for call in (first, second):
            await over(call)
        await trio.sleep(LISTEN_S)
        await eventually(lambda: frames_of(2, one) > FRAMES * 0.9)
        await eventually(lambda: frames_of(1, other) > FRAMES * 0.9)
        one.send_digit("7")
        await eventually(lambda: other.digits[-1] == "7")
        one.hang_up(16)
        await other.wait_ended(ENDS_WITHIN_S)
        assert gaps_ms(one) == gaps_ms(other) == {FRAME_MS}
        assert not desk.other.incoming.statistics().current_buffer_used
        record("transfer: two links", {"frames": len(one.voice), "gaps": 0})


async def test_what_no_phone_may_name(tmp_path: Path) -> None:
    async with open_desk(tmp_path) as desk:
        call, far_call = await desk.talk()
        host, port = desk.other.address
        for uri, status in (
            (desk.at_bridge("95551234"), 404),  # a number of the link
            (desk.at_bridge("nobody"), 404),
            ("sip:desk@phones.example", 403),
            (f"sip:0900@{host}:{port}", 403 if host != desk.flow.bridge.sip[0] else 404),
            ("tel:+15551234", 416),
            (f"{desk.uri};method=BYE", 403),
            (desk.at_bridge(SECOND), 480),  # it has not registered
        ):
            assert (await call.refer(uri)).status == status, uri
        assert not any(seen.message.method == "NOTIFY" for seen in call.requests)
        async with open_phone() as stranger:
            away = await stranger.call(desk.flow.bridge.sip, "nothing")
            assert (await away.status(200, 3)).status == 404
        await assert_heard(far_call, call)
        await call.bye()
        assert len(desk.flow.far.calls) == 1
        assert "5551234" not in desk.flow.bridge.output()


async def test_a_call_from_a_link_goes_to_another_phone(tmp_path: Path) -> None:
    async with (
        open_sites(tmp_path, {"answer": "far-end"}, registers=True) as sites,
        open_phone() as phone_c,
    ):
        await sites.phone_b.register(sites.far.sip, DESK, DESK_PASSWORD)
        await phone_c.register(sites.far.sip, SECOND, DESK_PASSWORD)
        call = await sites.dial()
        first = await sites.called()
        await first.answer()
        await call.answered(10)
        host, port = sites.far.sip
        assert (await first.refer(f"sip:{SECOND}@{host}:{port}")).status == 202
        second = await next_call(phone_c)
        second.ring()
        assert await first.told(180) == [100, 180]
        await second.answer()
        assert await first.told(200) == [100, 180, 200]
        await over(first)
        await trio.sleep(sized(2, 30))
        await call.bye()
        await over(second)
        to_c = sites.heard(second.audio, call.audio, sites.near)
        to_a = sites.heard(call.audio, second.audio, sites.far)
    for way in (to_c, to_a):
        assert way.report.sent > 50
        assert way.is_good, way
    record("transfer: from a link", {"to_c": to_c.figures(), "to_a": to_a.figures()})
