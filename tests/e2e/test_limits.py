"""Limits, as phones meet them at a bridge that runs."""

from pathlib import Path

from tests.lab.flow import ended_by_bye, open_flow, statuses

LONGEST_S = 2


async def test_calls_over_the_limit_are_refused_and_long_ones_ended(tmp_path: Path) -> None:
    limits = {"calls_max": 1, "duration_s": LONGEST_S}
    async with open_flow(tmp_path, limits=limits) as flow:
        first, _ = await flow.talk()
        second = await flow.dial()
        final = await second.status(200, 3)
        assert statuses(second) == [503]
        assert final.get("retry-after") == "30"
        await flow.bridge.logged("call refused", 3)
        await flow.bridge.logged("the call has lasted as long as one may", LONGEST_S + 5)
        assert await ended_by_bye(first) == "Q.850;cause=102"
        third, _ = await flow.talk()
        assert statuses(third)[-1] == 200
        await third.bye()
