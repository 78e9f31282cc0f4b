"""What is known of a trunk, and when a registration that has failed is tried again."""

from collections.abc import Callable

import pytest
import trio
import trio.testing
from structlog.testing import capture_logs

from bridge.iax2.auth import Address
from bridge.sip.settings import TrunkSettings
from bridge.sip.trunks import Trunk, TrunkState

ADDRESS: Address = ("192.0.2.9", 5060)
PASSWORD = "a password of the trunk"
SETTINGS = TrunkSettings("provider", "site-7", PASSWORD, "trunk.example.com", "+15550100")
NO_REGISTRATION = TrunkSettings(
    "provider", "site-7", PASSWORD, "trunk.example.com", "+15550100", registers=False
)


class Account:
    """Takes down what it is asked, and when."""

    def __init__(self) -> None:
        self.moves: list[Address] = []
        self.registers: list[float] = []
        self.releases = 0
        self.asked: list[str] = []
        self.told: Callable[[int], None] = lambda _status: None

    def move_to(self, address: Address) -> None:
        self.moves.append(address)

    def register(self) -> None:
        self.registers.append(trio.current_time())

    def release(self) -> None:
        self.releases += 1

    def ask(self, uri: str, told: Callable[[int], None]) -> None:
        self.asked.append(uri)
        self.told = told


def opened(settings: TrunkSettings = SETTINGS) -> tuple[Trunk, Account]:
    trunk, account = Trunk(settings, trio.current_time), Account()
    trunk.open(account)
    trunk.move_to(ADDRESS)
    return trunk, account


async def test_a_registration_stands_until_it_is_released() -> None:
    trunk, account = opened()
    with capture_logs() as lines:
        trunk.told_registration(200, 600)
        trunk.told_registration(200, 600)  # renewed
        trunk.release()
        assert trunk.is_releasing
        trunk.told_registration(200, 0)
    assert account.moves == [ADDRESS]
    assert account.releases == 1
    assert not trunk.is_releasing
    assert trunk.seen.state is TrunkState.RELEASED
    assert [line["event"] for line in lines] == [
        "registered with the trunk",
        "our registration with the trunk is released",
    ]


@pytest.mark.parametrize(
    ("status", "state", "pauses_s"),
    [
        (503, TrunkState.SILENT, [2, 4, 8, 16, 32, 60, 60]),
        (408, TrunkState.SILENT, [2, 4, 8, 16, 32, 60, 60]),
        (403, TrunkState.REFUSED, [10, 20, 40, 80, 160, 300, 300]),
    ],
)
async def test_it_is_tried_again_ever_more_rarely(
    status: int,
    state: TrunkState,
    pauses_s: list[int],
    autojump_clock: trio.testing.MockClock,  # noqa: ARG001 - it makes the waiting short
) -> None:
    trunk, account = opened()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trunk.run)
        with capture_logs() as lines:
            for count, pause_s in enumerate(pauses_s, 1):
                failed_at = trio.current_time()
                trunk.told_registration(status, 0)
                assert (trunk.seen.state, trunk.seen.tries_failed) == (state, count)
                await trio.sleep(pause_s + 0.5)
                assert account.registers[-1] - failed_at == pytest.approx(pause_s)
                assert len(account.registers) == count
        trunk.told_registration(200, 600)
        assert (trunk.seen.tries_failed, trunk.seen.status) == (0, None)
        nursery.cancel_scope.cancel()
    assert len(lines) == 1
    assert (lines[0]["trunk"], lines[0]["status"]) == ("provider", status)


async def test_what_was_not_registered_need_not_be_released() -> None:
    trunk, account = opened()
    trunk.told_registration(403, 0)
    trunk.release()
    assert (account.releases, trunk.is_releasing) == (0, False)


async def test_a_release_that_fails_is_waited_for_no_longer() -> None:
    trunk, _ = opened()
    trunk.told_registration(200, 600)
    trunk.release()
    trunk.told_registration(503, 0)
    assert not trunk.is_releasing


async def test_without_a_registration_it_is_asked_each_minute(
    autojump_clock: trio.testing.MockClock,  # noqa: ARG001 - it makes the waiting short
) -> None:
    trunk, account = opened(NO_REGISTRATION)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trunk.run)
        await trio.sleep(1)
        account.told(404)
        states = [trunk.seen.state]
        account.told(408)
        states.append(trunk.seen.state)
        await trio.sleep(60)
        nursery.cancel_scope.cancel()
    assert states == [TrunkState.ANSWERS, TrunkState.SILENT]
    assert account.asked == ["sip:192.0.2.9:5060;transport=udp"] * 2


async def test_an_address_that_stays_changes_nothing_and_another_one_does() -> None:
    trunk, account = opened()
    trunk.move_to(ADDRESS)
    assert account.moves == [ADDRESS]
    trunk.move_to(("2001:db8::9", 5060))
    assert len(account.moves) == 2


def test_it_tells_no_password() -> None:
    assert PASSWORD not in repr(SETTINGS)
    assert PASSWORD not in repr(Trunk(SETTINGS, lambda: 0.0))
