"""Session timers (RFC 4028) and reliable provisional responses (RFC 3262), as phones use them."""

import itertools
from pathlib import Path

import trio

from bridge.iax2 import Cause, EndReason
from tests.lab.engine_far_end import FarCall
from tests.lab.flow import Flow, open_flow, statuses
from tests.lab.phone_call import PhoneCall
from tests.lab.results import is_full, record, sized

WITH_TIMER = ("supported", "timer")
UPDATES = ("allow", "UPDATE")
VOICE = bytes(range(160))
SHORTEST_S = 90
BYE_BEFORE_EXPIRY_S = 30  # RFC 4028 section 10: a third of the interval, 32 s at most


async def test_session_timers(tmp_path: Path) -> None:
    """At the small size it agrees on timers alone: the shortest that RFC 4028 allows is 90 s."""
    timed = (("session-expires", f"{SHORTEST_S};refresher=uac"), WITH_TIMER)
    refreshed_by_us = (("session-expires", f"{SHORTEST_S};refresher=uas"), WITH_TIMER, UPDATES)
    async with open_flow(tmp_path) as flow:
        too_short = await flow.dial(extra=(("session-expires", "89"), WITH_TIMER))
        refusal = await too_short.status(200, 3)
        assert (refusal.status, refusal.get("min-se")) == (422, "90")
        forgotten, kept, left_to_us = [
            await _answered_with(flow, extra) for extra in (timed, timed, refreshed_by_us)
        ]
        began_at_s = trio.current_time()
        with trio.move_on_after(sized(0.2, SHORTEST_S)):
            while not forgotten.ended.is_set():
                assert (await kept.refresh(*timed)).status == 200
                with trio.move_on_after(20):
                    await forgotten.ended.wait()
        assert not kept.ended.is_set()
        assert not left_to_us.ended.is_set()
        if is_full():
            await _assert_expired(forgotten, flow.far.calls[0], began_at_s)
            assert "UPDATE" in [seen.message.method for seen in left_to_us.requests]
        for call in (forgotten, kept, left_to_us):
            await call.bye()


async def _answered_with(flow: Flow, extra: tuple[tuple[str, str], ...]) -> PhoneCall:
    """A call whose session timer is as the phone wants it."""
    call = await flow.dial(extra=extra)
    call.audio.source = call.audio.marked
    answer = await call.answered(5)
    assert answer.get("session-expires") == dict(extra)["session-expires"]
    assert ("timer" in answer.get("require")) == ("uac" in answer.get("session-expires"))
    return call


async def _assert_expired(call: PhoneCall, far_call: FarCall, began_at_s: float) -> None:
    after_s = call.ended_at_s - began_at_s
    assert call.ended_by_peer
    assert abs(after_s - (SHORTEST_S - BYE_BEFORE_EXPIRY_S)) < 3
    await far_call.wait_ended(1)
    assert (far_call.reason, far_call.cause) == (EndReason.HANGUP, Cause.RECOVERY_ON_TIMER_EXPIRY)
    record("flow: session expires", {"after_s": round(after_s, 1)})


async def test_provisional_responses_are_reliable_where_the_phone_requires_it(
    tmp_path: Path,
) -> None:
    slow = {"slots": 20, "slot_ms": 100, "start_ms": [0, 0], "terminator": "#"}
    async with open_flow(tmp_path, link={"dialing": slow}) as flow:
        call = await flow.dial(extra=(("require", "100rel"),))
        call.audio.source = call.audio.marked
        ringing = await call.status(180, 5)
        await trio.sleep(0.8)  # beyond T1, so that it comes again
        assert statuses(call) == [180]
        assert (await call.prack(ringing)).status == 200
        early = await call.status(183, 5)
        assert (await call.prack(early)).status == 200
        assert {ringing.get("require"), early.get("require")} == {"100rel"}
        assert int(early.get("rseq")) == int(ringing.get("rseq")) + 1
        assert "m=audio" in early.body
        await _hears_early_media(call, flow.far.calls[-1])
        assert not (await call.answered(8)).get("rseq")
        assert statuses(call) == [180, 183, 200]
        await call.bye()


async def _hears_early_media(call: PhoneCall, far_call: FarCall) -> None:
    """Let the far end speak, and wait until the phone hears it."""
    assert not call.audio.received
    with trio.fail_after(5):
        for number in itertools.count():
            far_call.send_voice(VOICE, number)
            await trio.sleep(0.02)
            if VOICE in {packet.payload for packet in call.audio.received}:
                return
