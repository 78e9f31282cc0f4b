"""The trace of a link: Asterisk's notation, numbers masked, keys never, and no slow reader felt."""

import io
import threading
from typing import Any

import pytest
import structlog.testing
import trio
import trio.testing

from bridge.iax2 import Address, Format
from bridge.iax2.constants import (
    AuthMethod,
    ControlSubclass,
    ElementType,
    Encryption,
    FrameType,
    IaxSubclass,
)
from bridge.iax2.elements import InformationElements
from bridge.iax2.frames import FullFrame
from bridge.status.tracing import WAITING_MAX, FrameTrace, frame_text

PEER: Address = ("192.0.2.7", 4569)
NUMBER = "5551234"
KEY = bytes(range(16))
CALLER: dict[ElementType, Any] = {
    ElementType.CALLING_NUMBER: NUMBER,
    ElementType.CALLING_ANI: NUMBER,
    ElementType.CALLING_NAME: f"Ann {NUMBER}",
    ElementType.CALLED_CONTEXT: NUMBER,
    ElementType.DNID: NUMBER,
    ElementType.RDNIS: NUMBER,
    ElementType.VARIABLE: f"x={NUMBER}",
    ElementType.CALLED_NUMBER: NUMBER,
    ElementType.CAUSE: f"no such number {NUMBER}",
}
SECRETS: dict[ElementType, Any] = {
    ElementType.MD5_RESULT: KEY.hex(),
    ElementType.CHALLENGE: KEY,
    ElementType.PASSWORD: KEY.hex(),
    ElementType.ENCKEY: KEY,
}


def a_frame(
    frame_type: int = FrameType.IAX,
    subclass: int = IaxSubclass.NEW,
    data: bytes = b"",
    *,
    again: bool = False,
) -> FullFrame:
    return FullFrame(8446, 12, 3, 7, 9, frame_type, subclass, data, retransmission=again)


def elements(*pairs: tuple[int, Any]) -> bytes:
    return InformationElements.of(*pairs).encode()


def shown(frame: FullFrame, *, digits: bool = False, encrypted: bool = True) -> str:
    return frame_text("Rx", frame, PEER, encrypted=encrypted, digits=digits)


def test_a_frame_as_asterisk_shows_it() -> None:
    data = elements(
        (ElementType.VERSION, (2, 2)),
        (ElementType.CALLED_NUMBER, "enc"),
        (ElementType.USERNAME, "branch-7"),
        (ElementType.AUTHMETHODS, (AuthMethod.MD5, 2)),
        (ElementType.ENCRYPTION, (Encryption.AES128, 2)),
        (ElementType.FORMAT, (Format.ULAW, 4)),
        (ElementType.CALLTOKEN, b"AAJ_Vz_w"),
    )
    text = frame_text("Tx", a_frame(data=data), PEER, encrypted=False, digits=False)
    assert text == (
        "Tx-Frame Retry[ No] -- OSeqno: 007 ISeqno: 009 Type: IAX     Subclass: NEW\n"
        "   Timestamp: 00003ms  SCall: 08446  DCall: 00012 192.0.2.7:4569 in clear\n"
        "   VERSION         : 2\n"
        "   CALLED NUMBER   : enc\n"
        "   USERNAME        : branch-7\n"
        "   AUTHMETHODS     : MD5\n"
        "   ENCRYPTION      : AES128\n"
        "   FORMAT          : ULAW\n"
        "   CALLTOKEN       : (8 octets)\n"
    )


@pytest.mark.parametrize(
    ("frame_type", "subclass", "names"),
    [
        (FrameType.CONTROL, ControlSubclass.ANSWER, "Type: CONTROL Subclass: ANSWER"),
        (FrameType.CONTROL, ControlSubclass.STOP_TONES, "Type: CONTROL Subclass: STOP_TONES"),
        (FrameType.CONTROL, 60, "Type: CONTROL Subclass: (60?)"),
        (FrameType.VOICE, Format.G722, "Type: VOICE   Subclass: G722"),
        (FrameType.VOICE, 3, "Type: VOICE   Subclass: 3"),
        (FrameType.CNG, 0, "Type: CNG     Subclass: 0"),
        (FrameType.DTMF_END, ord("5"), "Type: DTMF_E  Subclass: •"),
        (FrameType.DTMF_BEGIN, ord("#"), "Type: DTMF_B  Subclass: •"),
        (77, 1, "Type: (77?)   Subclass: 1"),
        (FrameType.IAX, 99, "Type: IAX     Subclass: (99?)"),
    ],
)
def test_types_and_subclasses(frame_type: int, subclass: int, names: str) -> None:
    assert shown(a_frame(frame_type, subclass)).splitlines()[0].endswith(names)


def test_how_it_travels() -> None:
    assert "Retry[Yes]" in shown(a_frame(again=True))
    assert shown(a_frame()).splitlines()[1].endswith("192.0.2.7:4569 encrypted")
    v6 = frame_text("Rx", a_frame(), ("2001:db8::7", 4569, 0, 0), encrypted=True, digits=False)
    assert "[2001:db8::7]:4569" in v6


@pytest.mark.parametrize(("element", "value"), CALLER.items())
def test_numbers_and_callers_are_masked_unless_asked_for(element: ElementType, value: str) -> None:
    frame = a_frame(data=elements((element, value)))
    assert NUMBER not in shown(frame)
    assert "•" in shown(frame)
    assert value in shown(frame, digits=True)


def test_digits_are_masked_unless_asked_for() -> None:
    frame = a_frame(FrameType.DTMF_END, ord("5"))
    assert shown(frame, digits=True).splitlines()[0].endswith("Subclass: 5")


@pytest.mark.parametrize("digits", [False, True])
@pytest.mark.parametrize(("element", "value"), [*SECRETS.items(), (200, KEY)])
def test_keys_and_what_is_unknown_are_never_shown(element: int, value: Any, digits: bool) -> None:  # noqa: ANN401, FBT001 - parameters of the test
    text = shown(
        a_frame(subclass=IaxSubclass.RTKEY, data=elements((element, value))), digits=digits
    )
    assert f"({len(value)} octets)" in text
    assert KEY.hex() not in text


@pytest.mark.parametrize("frame_type", [FrameType.TEXT, FrameType.CONTROL, FrameType.VOICE])
def test_contents_of_other_frames_are_a_size(frame_type: FrameType) -> None:
    lines = shown(a_frame(frame_type, 22, NUMBER.encode()), digits=True).splitlines()
    assert lines[2:] == ["   (7 octets)"]


@pytest.mark.parametrize("subclass", [0, 0x1B, 1 << 20, 1 << 40, -1])
def test_digits_that_are_none_are_numbers(subclass: int) -> None:
    """A frame in clear may have any subclass: nothing in it moves the cursor of a terminal."""
    frame = a_frame(FrameType.DTMF_END, subclass)
    assert shown(frame, digits=True).splitlines()[0].endswith(f"Subclass: ({subclass}?)")


def test_elements_that_are_none() -> None:
    assert "(3 octets that are no elements)" in shown(a_frame(data=b"\x01\x09x"))


@pytest.fixture
def out() -> io.StringIO:
    return io.StringIO()


async def written(trace: FrameTrace, out: io.StringIO, frames: int) -> None:
    """Let the trace write until so many frames stand there."""
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trace.run)
            while out.getvalue().count("x-Frame") < frames:  # noqa: ASYNC110 - a thread writes it
                await trio.sleep(0.001)
            nursery.cancel_scope.cancel()


async def test_only_the_frames_of_its_link(out: io.StringIO) -> None:
    peer: list[Address | None] = [None]
    trace = FrameTrace(lambda: peer[0], out, digits=False)
    trace.sent(a_frame(), PEER, encrypted=True)
    peer[0] = PEER
    trace.sent(a_frame(), PEER, encrypted=True)
    trace.received(a_frame(), ("192.0.2.8", 4569), encrypted=True)
    trace.received(a_frame(), PEER, encrypted=True)
    await written(trace, out, 2)
    heads = [line[:8] for line in out.getvalue().splitlines() if "Frame" in line]
    assert heads == ["Tx-Frame", "Rx-Frame"]


async def test_a_slow_reader_costs_lines_and_says_so(out: io.StringIO) -> None:
    trace = FrameTrace(lambda: PEER, out, digits=False)
    for _ in range(WAITING_MAX + 5):
        trace.sent(a_frame(), PEER, encrypted=True)
    await written(trace, out, WAITING_MAX)
    assert out.getvalue().count("Tx-Frame") == WAITING_MAX
    trace.sent(a_frame(), PEER, encrypted=True)
    await written(trace, out, WAITING_MAX + 1)
    assert out.getvalue().count("... 5 frames are not shown: the output is too slow\n") == 1


async def test_a_reader_that_does_not_read_delays_no_stop() -> None:
    class Stuck(io.StringIO):
        def write(self, text: str) -> int:
            go_on.wait()
            return len(text)

    go_on = threading.Event()
    trace = FrameTrace(lambda: PEER, Stuck(), digits=False)
    trace.sent(a_frame(), PEER, encrypted=True)
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trace.run)
            await trio.testing.wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
    go_on.set()


async def test_a_terminal_without_our_signs_shows_others() -> None:
    octets = io.BytesIO()
    trace = FrameTrace(lambda: PEER, io.TextIOWrapper(octets, "latin-1"), digits=False)
    trace.sent(a_frame(FrameType.DTMF_END, ord("5")), PEER, encrypted=True)
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trace.run)
            while not octets.getvalue():  # noqa: ASYNC110 - a thread writes it
                await trio.sleep(0.001)
            nursery.cancel_scope.cancel()
    assert b"Subclass: ?\n" in octets.getvalue()


async def test_a_reader_that_has_left_ends_the_trace_alone() -> None:
    class Gone(io.StringIO):
        def write(self, _text: str) -> int:
            raise BrokenPipeError(32, "Broken pipe")

    trace = FrameTrace(lambda: PEER, Gone(), digits=False)
    trace.sent(a_frame(), PEER, encrypted=True)
    with structlog.testing.capture_logs() as logs, trio.fail_after(5):
        await trace.run()
    assert [(entry["event"], entry["why"]) for entry in logs] == [
        ("the trace ends: it cannot be written", "Broken pipe")
    ]
