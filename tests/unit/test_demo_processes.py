"""What the demo's processes write, and how their failures reach the user."""

from collections.abc import AsyncIterator
from typing import cast

import pytest
import trio
import trio.testing

from bridge import demo
from bridge.demo import performance
from bridge.demo.lines import lines_of
from bridge.demo.phone import PhoneEvent
from bridge.demo.processes import BridgeProcess, PhoneProcess
from bridge.demo.stage import DemoError

NO_PROCESS = cast("trio.Process", None)


async def chunks(*octets: bytes) -> AsyncIterator[str]:
    sending, receiving = trio.testing.memory_stream_one_way_pair()
    async with trio.open_nursery() as nursery:

        async def send() -> None:
            for chunk in octets:
                await sending.send_all(chunk)
            await sending.aclose()

        nursery.start_soon(send)
        async for line in lines_of(receiving):
            yield line


@pytest.mark.parametrize(
    ("octets", "lines"),
    [
        ((), []),
        ((b"one\ntwo\n",), ["one", "two"]),
        ((b"on", b"e\nt", b"wo"), ["one", "two"]),
        ((b"\n\nthree",), ["", "", "three"]),
        ((b"\xff\n",), ["�"]),
    ],
)
async def test_lines(octets: tuple[bytes, ...], lines: list[str]) -> None:
    assert [line async for line in chunks(*octets)] == lines


def test_a_bridge_is_ready_when_it_says_so() -> None:
    bridge = BridgeProcess(NO_PROCESS)
    for line in ("pjlib initialized", '{"event": "starting"}', "{broken"):
        bridge.take_line(line)
    assert not bridge.ready.is_set()
    bridge.take_line('{"event": "ready", "links": ["hq"]}')
    assert bridge.ready.is_set()
    assert bridge.entry("ready") == {"event": "ready", "links": ["hq"]}
    assert bridge.entry("stopped") is None
    assert len(bridge.output) == 4


def test_last_words_are_those_for_the_user() -> None:
    bridge = BridgeProcess(NO_PROCESS)
    for number in range(20):
        bridge.take_line(f"noise {number}")
    assert bridge.last_words.splitlines()[-1] == "noise 19"
    bridge.take_line("siax: cannot listen on udp://127.0.0.1:5060: Address already in use")
    bridge.take_line("noise")
    assert bridge.last_words.startswith("siax: cannot listen")


async def test_a_phone_tells_what_happens(
    autojump_clock: trio.testing.MockClock,  # noqa: ARG001 - it makes the waiting short
) -> None:
    phone = PhoneProcess(NO_PROCESS)
    told: list[object] = []
    phone.on_event = told.append
    phone._take("00:00 pjlib initialized")
    assert phone.complaints == ["00:00 pjlib initialized"]
    assert await phone.wait_for(PhoneEvent.ANSWERED, within_s=5) is None
    async with trio.open_nursery() as nursery:

        async def answer() -> None:
            await trio.sleep(3)
            phone._take('{"event": "media", "at": 1.0}')
            phone._take('{"event": "answered", "at": 2.0}')

        nursery.start_soon(answer)
        event = await phone.wait_for(PhoneEvent.ANSWERED, PhoneEvent.ENDED, within_s=5)
    assert event == {"event": "answered", "at": 2.0}
    assert len(told) == 2


def test_without_pjsua2(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(performance, "find_spec", lambda _name: None)
    with pytest.raises(DemoError, match="pjsua2 is not installed"):
        demo.run(hold=False)


def test_an_error_for_the_user_leaves_its_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(_self: performance.Performance) -> None:
        group = BaseExceptionGroup("", [DemoError("the bridge does not start")])
        raise BaseExceptionGroup("", [group])

    monkeypatch.setattr(performance.Performance, "run", fail)
    with pytest.raises(DemoError, match="the bridge does not start"):
        demo.run(hold=False)


def test_any_other_error_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(_self: performance.Performance) -> None:
        raise BaseExceptionGroup("", [DemoError("one"), ZeroDivisionError()])

    monkeypatch.setattr(performance.Performance, "run", fail)
    with pytest.raises(BaseExceptionGroup):
        demo.run(hold=False)
