"""A site whose calls from the link leave over a SIP trunk that asks for a password."""

from pathlib import Path
from typing import Any

import trio

from tests.lab.flow import QUICK_DIALING
from tests.lab.results import record, sized
from tests.lab.status_command import CONFIG, answer, siax_status
from tests.lab.trunk import PASSWORD, USER, Demand, open_trunk
from tests.lab.two_sites import NUMBER, Sites, open_sites, trunk_of

FAR_END = {"answer": "far-end", "dialing": QUICK_DIALING}
ANSWER_S = 10.0
ENDS_WITHIN_S = 3.0


async def trunk_status(folder: Path) -> dict[str, Any]:
    (seen,) = (await answer(folder / "far"))["trunks"]
    trunk: dict[str, Any] = seen
    return trunk


def assert_nothing_told(sites: Sites) -> None:
    for secret in (PASSWORD, NUMBER, USER):
        assert secret not in sites.far.output()


async def test_a_call_from_the_link_leaves_over_the_trunk(tmp_path: Path) -> None:
    demand = Demand(("SHA-256", "MD5"), as_proxy=True)
    async with open_trunk(demand) as trunk:
        async with open_sites(tmp_path, FAR_END, trunk) as sites:
            registered = await trunk.registers(1, ANSWER_S)
            assert "algorithm=SHA-256" in registered.authorization
            await sites.far.logged("registered with the trunk", ENDS_WITHIN_S)
            call = await sites.dial()
            far_call = await sites.called()
            assert (far_call.called_user, far_call.caller_user) == (f"+{NUMBER}", USER)
            far_call.ring()
            await call.status(180, ANSWER_S)
            await far_call.answer()
            await call.answered(ANSWER_S)
            seen = await trunk_status(tmp_path)
            assert (seen["state"], seen["is_up"]) == ("registered", True)
            assert (seen["live_calls"], seen["calls"]) == (1, 1)
            await trio.sleep(sized(3, 60))
            await call.bye()
            with trio.fail_after(ENDS_WITHIN_S):
                await far_call.ended.wait()
            for bridge in (sites.near, sites.far):
                await bridge.logged("call over", ENDS_WITHIN_S)
            to_trunk = sites.heard(far_call.audio, call.audio, sites.near)
            to_phone = sites.heard(call.audio, far_call.audio, sites.far)
        await trunk.registers(2, ENDS_WITHIN_S)
        assert trunk.registered[-1].expires_s == 0
    assert_nothing_told(sites)
    for way in (to_trunk, to_phone):
        assert way.report.sent > 120
        assert way.is_good, way
    record(
        "phone to SIP trunk through two bridges",
        {"to_trunk": to_trunk.figures(), "to_phone": to_phone.figures()},
    )


async def test_a_busy_number_and_a_caller_who_gives_up(tmp_path: Path) -> None:
    async with open_trunk() as trunk, open_sites(tmp_path, FAR_END, trunk) as sites:
        call = await sites.dial()
        (await sites.called()).refuse("486 Busy Here")
        assert (await call.status(200, ANSWER_S)).status == 486
        call = await sites.dial()
        far_call = await sites.called()
        far_call.ring()
        await call.status(180, ANSWER_S)
        await call.cancel()
        with trio.fail_after(ENDS_WITHIN_S):
            await far_call.ended.wait()
    assert_nothing_told(sites)


async def test_refused_credentials_show_in_the_status(tmp_path: Path) -> None:
    async with open_trunk() as trunk:
        wrong = {"provider": trunk_of(trunk, "a wrong password")}
        async with open_sites(tmp_path, FAR_END, trunk, trunks=wrong) as sites:
            entry = await sites.far.logged("the trunk refuses to register us", ANSWER_S)
            assert (entry["level"], entry["trunk"], entry["status"]) == ("warning", "provider", 403)
            seen = await trunk_status(tmp_path)
            assert (seen["state"], seen["status"]) == ("refuses to register us", 403)
            code, text, _ = await siax_status(tmp_path / "far", CONFIG)
            assert code == 0
            assert "trunk provider: down, calls in clear SIP" in text
            assert "refuses to register us (status 403)" in text
            call = await sites.dial()
            assert (await call.status(200, ANSWER_S)).status == 403
    assert "a wrong password" not in sites.far.output()
    assert_nothing_told(sites)
