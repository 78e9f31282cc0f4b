"""Two bridges and two phones: a number through the encrypted link, and every way a call ends."""

from pathlib import Path

import pytest
import trio

from tests.lab.phone_call import PhoneCall
from tests.lab.results import record, sized
from tests.lab.two_sites import DESK, DESK_PASSWORD, NUMBER, Sites, open_sites

FAR_END = {"answer": "far-end"}
ANSWER_S = 10.0
ENDS_WITHIN_S = 3.0
RING_S = 5


def statuses(call: PhoneCall) -> list[int]:
    return [seen.message.status for seen in call.responses if seen.message.status > 100]


def reason(call: PhoneCall, method: str) -> str:
    """The Reason of a request that a phone got within a call."""
    (found,) = [seen.message for seen in call.requests if seen.message.method == method]
    return found.get("reason")


async def over(call: PhoneCall) -> None:
    with trio.fail_after(ENDS_WITHIN_S):
        await call.ended.wait()


async def talk(sites: Sites) -> tuple[PhoneCall, PhoneCall]:
    """A call that is up on both sides."""
    call = await sites.dial()
    far_call = await sites.called()
    far_call.ring()
    await call.status(180, ANSWER_S)
    await far_call.answer()
    await call.answered(ANSWER_S)
    return call, far_call


async def test_phone_a_calls_phone_b_and_both_are_heard(tmp_path: Path) -> None:
    async with open_sites(tmp_path, FAR_END) as sites:
        call = await sites.dial()
        far_call = await sites.called()
        assert far_call.called_user == NUMBER
        assert far_call.caller_user == "hq"
        assert statuses(call) == []
        far_call.ring()
        await call.status(180, ANSWER_S)
        await trio.sleep(1.0)
        assert statuses(call) == [180]
        await far_call.answer()
        await call.answered(ANSWER_S)
        assert statuses(call) == [180, 200]
        await trio.sleep(sized(4, 60))
        await call.bye()
        await over(far_call)
        await sites.far.logged("call over", ENDS_WITHIN_S)
        await sites.near.logged("call over", ENDS_WITHIN_S)
        to_b = sites.heard(far_call.audio, call.audio, sites.near)
        to_a = sites.heard(call.audio, far_call.audio, sites.far)
    for way in (to_b, to_a):
        assert way.report.sent > 150
        assert way.is_good, way
    record("phone to phone through two bridges", {"to_b": to_b.figures(), "to_a": to_a.figures()})


async def test_every_way_that_a_call_ends(tmp_path: Path) -> None:
    async with open_sites(tmp_path, FAR_END, ring_s=RING_S) as sites:
        await _busy(sites)
        await _wrong_number(sites)
        await _no_answer(sites)
        await _caller_cancels(sites)
        await _callee_hangs_up(sites)
        await _caller_hangs_up(sites)


async def _busy(sites: Sites) -> None:
    call = await sites.dial()
    (await sites.called()).refuse("486 Busy Here")
    assert (await call.status(200, ANSWER_S)).status == 486
    assert statuses(call) == [486]


async def _wrong_number(sites: Sites) -> None:
    call = await sites.dial("31415")
    assert (await call.status(200, ANSWER_S)).status == 404
    assert statuses(call) == [404]


async def _no_answer(sites: Sites) -> None:
    call = await sites.dial()
    far_call = await sites.called()
    far_call.ring()
    assert (await call.status(200, RING_S + ANSWER_S)).status == 480
    assert statuses(call) == [180, 480]
    await over(far_call)
    assert reason(far_call, "CANCEL") == "Q.850;cause=19"


async def _caller_cancels(sites: Sites) -> None:
    call = await sites.dial()
    far_call = await sites.called()
    far_call.ring()
    await call.status(180, ANSWER_S)
    await call.cancel()
    await over(far_call)
    assert reason(far_call, "CANCEL") == "Q.850;cause=16"
    assert (await call.status(200, ENDS_WITHIN_S)).status == 487


async def _callee_hangs_up(sites: Sites) -> None:
    call, far_call = await talk(sites)
    await trio.sleep(0.5)
    await far_call.bye()
    await over(call)
    assert reason(call, "BYE") == "Q.850;cause=16"


async def _caller_hangs_up(sites: Sites) -> None:
    call, far_call = await talk(sites)
    await trio.sleep(0.5)
    await call.bye()
    await over(far_call)
    assert reason(far_call, "BYE") == "Q.850;cause=16"


async def test_a_phone_that_has_registered_rings(tmp_path: Path) -> None:
    async with open_sites(tmp_path, FAR_END, registers=True) as sites:
        call = await sites.dial()
        assert (await call.status(200, ANSWER_S)).status == 503  # it has not registered yet
        await sites.phone_b.register(sites.far.sip, DESK, DESK_PASSWORD)
        call, far_call = await talk(sites)
        assert far_call.called_user == DESK
        await trio.sleep(3)
        await call.bye()
        await over(far_call)
        to_b = sites.heard(far_call.audio, call.audio, sites.near)
    assert to_b.report.sent > 50
    assert to_b.is_good, to_b


@pytest.mark.parametrize("answer", ["after-dialing", "immediately"])
async def test_a_phone_that_is_answered_before_hears_the_far_end_ring(
    tmp_path: Path, answer: str
) -> None:
    async with open_sites(tmp_path, {"answer": answer}) as sites:
        call = await sites.dial()
        far_call = await sites.called()
        await call.answered(ANSWER_S)
        assert statuses(call) == [180, 183, 200]
        far_call.ring()
        await trio.sleep(2.0)
        heard_while_it_rang = {packet.payload for packet in call.audio.audio_received()[-75:]}
        assert len(heard_while_it_rang) > 3  # a tone, no silence
        await far_call.answer()
        await trio.sleep(2.0)
        await call.bye()
        await over(far_call)
        to_a = sites.heard(call.audio, far_call.audio, sites.far)
    assert to_a.report.sent > 50
