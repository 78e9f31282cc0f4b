"""The bridge as its users run it, between a SIP phone and a far end: what each gets to hear."""

import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import trio

from bridge.iax2 import Cause, ControlSubclass, EndReason
from tests.lab.addresses import free_udp_port
from tests.lab.bridge_process import BridgeConfig, run_bridge
from tests.lab.engine_far_end import FarCall, open_far_end
from tests.lab.flow import (
    ENDS_WITHIN_S,
    FRAME_MS,
    NUMBER,
    QUICK_DIALING,
    Flow,
    ended_by_bye,
    gaps_ms,
    open_flow,
    statuses,
)
from tests.lab.phone import open_phone
from tests.lab.results import record, sized
from tests.lab.scene import assert_nothing_left

GSM = 3


async def test_calls_that_are_refused_at_once(tmp_path: Path) -> None:
    anything = [
        {"match": r"^9(\d+)$", "link": "hq", "dial": "{1}"},
        {"match": "^8(.+)$", "link": "hq", "dial": "{1}"},
    ]
    async with open_flow(tmp_path, dialplan=anything, sip={"allow": ["127.0.0.1/32"]}) as flow:
        expected: list[tuple[str, tuple[int, ...], int]] = [
            ("no route", (0,), 404),
            ("8alice", (0,), 484),
            ("812%2334", (0,), 484),
            ("9" + "1" * 12, (0,), 484),
            ("9" + "1" * 70, (0,), 484),
            ("91234", (GSM,), 488),
        ]
        for number, formats, status in expected:
            called = number.replace(" ", "-")
            call = await flow.phone.call(flow.bridge.sip, called, formats=formats)
            final = await call.status(200, 3)
            assert (final.status, final.get("retry-after")) == (status, ""), number
            assert call.final_after_s() < 1
        async with open_phone("127.0.0.2") as stranger:
            call = await stranger.call(flow.bridge.sip, f"9{NUMBER}")
            assert (await call.status(200, 3)).status == 403
            assert statuses(call) == [403]
        assert not flow.far.calls
        assert NUMBER not in flow.bridge.output()
        assert "alice" not in flow.bridge.output()


async def test_a_peer_that_is_absent(tmp_path: Path) -> None:
    setup_timeout_s = sized(1, 8)
    absent = f"127.0.0.1:{free_udp_port()}"
    async with open_flow(
        tmp_path, link={"peer": absent, "setup_timeout_s": setup_timeout_s}
    ) as flow:
        call = await flow.dial()
        final = await call.status(200, setup_timeout_s + 3)
        assert statuses(call) == [180, 503]
        assert int(final.get("retry-after").split(";")[0]) > 0
        assert final.get("reason") == "Q.850;cause=38"
        assert setup_timeout_s - 0.2 < call.final_after_s() < setup_timeout_s + 1
        entry = await flow.bridge.logged("link's call ended", 1)
        assert entry["reason"] == "the peer does not answer"
        record("flow: absent peer", {"after_s": round(call.final_after_s(), 3)})


async def test_a_peer_whose_name_does_not_resolve(tmp_path: Path) -> None:
    async with open_flow(tmp_path, link={"peer": "peer.invalid:4569"}) as flow:
        call = await flow.dial()
        final = await call.status(200, 3)
        assert statuses(call) == [503]
        assert int(final.get("retry-after").split(";")[0]) > 0


async def test_a_far_end_that_does_not_take_the_call(tmp_path: Path) -> None:
    def busy(call: FarCall) -> None:
        call.accept()
        call.send_control(ControlSubclass.BUSY)

    def hang_up(call: FarCall) -> None:
        call.accept()
        call.hang_up(Cause.UNASSIGNED_NUMBER)

    def reject(cause: int) -> Callable[[FarCall], None]:
        return lambda call: call.reject(cause)

    behaviours: list[tuple[Callable[[FarCall], None], int, int]] = [
        (reject(Cause.CALL_REJECTED), 403, 21),
        (reject(Cause.USER_BUSY), 486, 17),
        (reject(Cause.SWITCH_CONGESTION), 503, 42),
        (hang_up, 404, 1),
        (busy, 486, 17),
    ]
    async with open_flow(tmp_path) as flow:
        for behaviour, status, cause in behaviours:
            flow.far.on_call = behaviour
            call = await flow.dial()
            final = await call.status(200, 3)
            assert statuses(call) == [180, status]
            assert final.get("reason") == f"Q.850;cause={cause}"
            assert bool(final.get("retry-after")) is (status == 503)
        for far_call in flow.far.calls:
            await far_call.wait_ended(ENDS_WITHIN_S)
            assert not far_call.digits


async def test_cancel_before_the_far_end_has_answered(tmp_path: Path) -> None:
    async with open_flow(tmp_path) as flow:
        flow.far.on_call = FarCall.accept
        call = await flow.dial()
        far_call = await flow.far.call(1)
        await trio.sleep(0.1)
        await call.cancel()
        assert (await call.status(200, ENDS_WITHIN_S)).status == 487
        await far_call.wait_ended(ENDS_WITHIN_S)
        assert (far_call.reason, far_call.cause) == (EndReason.HANGUP, Cause.NORMAL_CLEARING)
        assert not far_call.digits
        assert not far_call.voice


async def test_cancel_while_dialing(tmp_path: Path) -> None:
    """The envelope completes, without the rest of the number and without its terminator."""
    dialing = {"slots": 26, "slot_ms": 40, "start_ms": [0, 0], "terminator": "#"}
    async with open_flow(tmp_path, link={"dialing": dialing}) as flow:
        call = await flow.dial("1" * 20)
        await call.status(183, 3)
        far_call = await flow.far.call(1)
        answered_at_s = far_call.voice[0].at_s if far_call.voice else trio.current_time()
        await trio.sleep(0.3)
        await call.cancel()
        assert (await call.status(200, ENDS_WITHIN_S)).status == 487
        await far_call.wait_ended(3)
        assert 0 < len(far_call.digits) < 20
        assert set(far_call.digits) == {"1"}
        assert far_call.cause == Cause.NORMAL_CLEARING
        assert far_call.ended_at_s - answered_at_s > 26 * 0.040
        assert gaps_ms(far_call) == {FRAME_MS}


async def test_each_side_hangs_up(tmp_path: Path) -> None:
    async with open_flow(tmp_path) as flow:
        call, far_call = await flow.talk()
        assert statuses(call) == [180, 183, 200]
        assert far_call.digits == f"{NUMBER}#"
        await call.bye()
        await far_call.wait_ended(ENDS_WITHIN_S)
        assert (far_call.reason, far_call.cause) == (EndReason.HANGUP, Cause.NORMAL_CLEARING)
        for cause in (Cause.NORMAL_CLEARING, Cause.USER_BUSY):
            call, far_call = await flow.talk()
            await trio.sleep(0.1)  # before the ACK a BYE has to wait, and loses its Reason
            far_call.hang_up(cause)
            assert await ended_by_bye(call) == f"Q.850;cause={int(cause)}"


async def test_an_immediate_answer(tmp_path: Path) -> None:
    slow = {"slots": 20, "slot_ms": 50, "start_ms": [100, 100], "terminator": "#"}
    async with open_flow(tmp_path, link={"answer": "immediately", "dialing": slow}) as flow:
        call, far_call = await flow.talk()
        assert call.final_after_s() < 1
        assert "#" not in far_call.digits
        await trio.sleep(1.4)
        assert far_call.digits == f"{NUMBER}#"
        await call.bye()


async def test_hold_and_resume_do_not_show_on_the_link(tmp_path: Path) -> None:
    async with open_flow(tmp_path) as flow:
        call, far_call = await flow.talk()
        began_at_s = trio.current_time()
        for direction, answered in (
            ("sendonly", "recvonly"),
            ("sendrecv", "sendrecv"),
            ("inactive", "inactive"),
            ("sendrecv", "sendrecv"),
        ):
            await trio.sleep(sized(0.5, 5))
            response = await call.reinvite(direction)
            assert response.status == 200
            assert f"a={answered}\r\n" in response.body or direction == "sendrecv"
        await trio.sleep(sized(0.5, 5))
        held_s = trio.current_time() - began_at_s
        await call.bye()
        await far_call.wait_ended(ENDS_WITHIN_S)
        assert gaps_ms(far_call) == {FRAME_MS}
        frames = sum(heard.at_s >= began_at_s for heard in far_call.voice)
        assert abs(frames - held_s * 1000 / FRAME_MS) < 10
        silent = sum(set(heard.payload) == {0xFF} for heard in far_call.voice)
        assert 0 < silent < len(far_call.voice)
        record("flow: hold and resume", {"frames": len(far_call.voice), "gaps": 0})


async def test_digits_in_the_call_both_ways(tmp_path: Path) -> None:
    digits = "19*#" * sized(1, 4)
    async with open_flow(tmp_path) as flow:
        call, far_call = await flow.talk()
        await call.audio.send_digits(digits, 0.2)
        for digit in "42D":
            far_call.send_digit(digit)
            await trio.sleep(0.2)
        with trio.fail_after(0.5 * len(digits) + 1):
            while len(far_call.digits) < len(f"{NUMBER}#{digits}"):  # noqa: ASYNC110
                await trio.sleep(0.02)
        await trio.sleep(0.2)
        await call.bye()
        assert far_call.digits == f"{NUMBER}#{digits}"
        assert call.audio.digits_received() == "42D"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_calls_in_every_phase(tmp_path: Path, number: signal.Signals) -> None:
    async with open_far_end() as far, open_phone() as phone:
        shape = {"slots": 20, "slot_ms": 50, "start_ms": [0, 0], "terminator": "#"}
        link = {"answer": "immediately", "dialing": shape}
        config = BridgeConfig(far.address, far.secret, overrides={"links": link})
        async with run_bridge(config, tmp_path, "debug") as bridge:
            flow = Flow(bridge, phone, far)
            talking, _ = await flow.talk()
            await trio.sleep(1.2)
            dialing, _ = await flow.talk()
            far.on_call = FarCall.accept
            calling = await flow.dial()
            await far.call(3)
            bridge.process.send_signal(number)  # and SIGTERM after it, at the end of the block
        assert_nothing_left(bridge)
        assert bridge.stop_s < 3
        for call in (talking, dialing):
            assert await ended_by_bye(call) == "Q.850;cause=41"
        assert statuses(calling)[-1] == 503
        for far_call in far.calls:
            await far_call.wait_ended(ENDS_WITHIN_S)
            assert far_call.cause == Cause.NORMAL_TEMPORARY_FAILURE
        record("flow: stop with calls", {"after_s": round(bridge.stop_s, 3)})


async def test_a_stop_lets_the_default_burst_complete(tmp_path: Path) -> None:
    shape = {"slots": 26, "slot_ms": 60, "start_ms": [600, 600], "terminator": "#"}
    link = {"answer": "immediately", "dialing": shape}
    async with open_flow(tmp_path, link=link) as flow:
        call, far_call = await flow.talk()
        stopped_at_s = trio.current_time()
        flow.bridge.process.send_signal(signal.SIGTERM)
        assert await ended_by_bye(call) == "Q.850;cause=41"
        assert not far_call.ended.is_set()
        await far_call.wait_ended(3)
        assert 2.0 < far_call.ended_at_s - stopped_at_s < 2.6
        assert far_call.digits == ""
        assert_no_pause(far_call)


def differ(tails_s: list[float]) -> bool:
    """Whether the tails are not all of the same length, in slots of 500 ms."""
    return max(tails_s) - min(tails_s) > 0.25


async def test_a_tail_of_silence_comes_before_hangup(tmp_path: Path) -> None:
    """Tails are whole slots, so that a few calls may well draw the same one: twenty do not."""
    tails_s: list[float] = []
    async with open_flow(tmp_path, link={"tail": True}) as flow:
        while len(tails_s) < sized(3, 20) or (len(tails_s) < 20 and not differ(tails_s)):
            call, far_call = await flow.talk()
            await trio.sleep(0.3)
            await call.bye()
            over_at_s = trio.current_time()
            await far_call.wait_ended(3)
            tails_s.append(far_call.ended_at_s - over_at_s)
            assert far_call.cause == Cause.NORMAL_CLEARING
            assert_no_pause(far_call)
            silence = [heard for heard in far_call.voice if heard.at_s > over_at_s + 0.1]
            assert all(set(heard.payload) == {0xFF} for heard in silence)
    assert -0.05 < min(tails_s) <= max(tails_s) < 2.1
    assert differ(tails_s)
    record("flow: tail", {"calls": len(tails_s), "longest_s": round(max(tails_s), 3)})


async def test_a_signal_is_obeyed_when_neither_side_lives(tmp_path: Path) -> None:
    """Neither the BYE nor the HANGUP is acknowledged: it ends within 3 s all the same."""
    async with open_far_end() as far:
        link = {"dialing": QUICK_DIALING}
        config = BridgeConfig(far.address, far.secret, overrides={"links": link})
        async with run_bridge(config, tmp_path, "debug") as bridge:
            async with open_phone() as phone:
                await Flow(bridge, phone, far).talk()
            await far.die()
    assert bridge.stop_s < 3


def assert_no_pause(call: FarCall) -> None:
    """Assert that audio came up to the end of a call, a frame each 20 ms."""
    assert gaps_ms(call) == {FRAME_MS}
    assert call.ended_at_s - call.voice[-1].at_s < 0.1
