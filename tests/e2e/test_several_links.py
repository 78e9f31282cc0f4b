"""Several links of a route, in order: which one a call takes, and when the phone hears of it."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bridge.iax2 import Cause
from tests.lab.bridge_process import BridgeConfig, run_bridge
from tests.lab.engine_far_end import EngineFarEnd, open_far_end
from tests.lab.flow import QUICK_DIALING, Flow, statuses
from tests.lab.phone import open_phone
from tests.lab.scene import assert_nothing_left

UNREACHABLE_WITHIN_S = 20
SECRET = "SIAX_TEST_BACKUP"  # the name of a variable


@dataclass(frozen=True, slots=True)
class Sites:
    """A phone and a bridge with links to two far ends: `flow.far` is the first of the route."""

    flow: Flow
    backup: EngineFarEnd

    @contextmanager
    def first_does(self, cause: int) -> Iterator[None]:
        """The first far end refuses calls with a cause."""
        accepted, self.flow.far.on_call = self.flow.far.on_call, lambda call: call.reject(cause)
        yield
        self.flow.far.on_call = accepted


@asynccontextmanager
async def open_sites(folder: Path, monkeypatch: Any, **link: Any) -> AsyncIterator[Sites]:  # noqa: ANN401
    async with open_far_end() as first, open_far_end() as backup, open_phone() as phone:
        monkeypatch.setenv(SECRET, backup.secret)
        second = {"peer": backup.address, "username": "branch-7", "secret": {"env": SECRET}}
        config = BridgeConfig(
            first.address,
            first.secret,
            overrides={
                "links": {"dialing": QUICK_DIALING, **link},
                "dialplan": [{"match": r"9(\d+)", "link": ["hq", "backup"], "dial": "{1}"}],
            },
            more_links={"backup": {"extension": "enc", "dialing": QUICK_DIALING, **second}},
        )
        async with run_bridge(config, folder, "debug") as bridge:
            yield Sites(Flow(bridge, phone, first), backup)
        assert_nothing_left(bridge)


async def test_a_call_takes_the_next_link_that_can(tmp_path: Path, monkeypatch: Any) -> None:  # noqa: ANN401
    async with open_sites(tmp_path, monkeypatch, calls_max=1) as sites:
        flow, backup = sites.flow, sites.backup
        with sites.first_does(Cause.SWITCH_CONGESTION):
            refused, _ = await flow.talk()
        assert [len(flow.far.calls), len(backup.calls)] == [1, 1]

        with sites.first_does(Cause.UNASSIGNED_NUMBER):
            wrong = await flow.dial()
            await wrong.status(200, 3)
        assert statuses(wrong)[-1] == 404
        assert [len(flow.far.calls), len(backup.calls)] == [2, 1]

        first, _ = await flow.talk()
        full, _ = await flow.talk()
        assert [len(flow.far.calls), len(backup.calls)] == [3, 2]
        for call in (refused, first, full):
            await call.bye()


async def test_an_unreachable_peer_is_passed_over(tmp_path: Path, monkeypatch: Any) -> None:  # noqa: ANN401
    async with open_sites(tmp_path, monkeypatch, qualify_s=5) as sites:
        flow, backup = sites.flow, sites.backup
        await flow.bridge.logged("the peer is reachable", 3)
        await flow.far.die()
        await flow.bridge.logged("the peer is unreachable", UNREACHABLE_WITHIN_S)
        call = await flow.dial()
        await call.answered(3)
        await backup.call(1)
        await call.bye()
