"""What a frame costs the engine, kind by kind: parsed, decrypted, dispatched, encoded.

python -m tests.bench.frame_cost

`dispatch` is all that the endpoint does with a frame beside parsing and decrypting it, and with
what it sends in answer: an ACK, a PONG, nothing. `encode` is the same frame encoded and encrypted.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Final, TypeVar

from bridge.iax2 import ControlSubclass, Endpoint, Format
from bridge.iax2.cipher import KEY_OCTETS, Opener, Sealer
from bridge.iax2.clock import MINI_MODULUS
from bridge.iax2.constants import FrameType, IaxSubclass
from bridge.iax2.frames import MINI_HEADER_OCTETS, FullFrame, MiniFrame, parse_frame_untrusted
from bridge.iax2.reports import ReceptionReport
from bridge.iax2.states import State
from tests.lab.iax2_peer import PEER, VOICE, Peer
from tests.lab.iax2_phases import caller_in, new_elements, taker
from tests.lab.results import record

_Item = TypeVar("_Item")

FRAMES: Final = 2000
ROUNDS: Final = 3
COLUMNS: Final = ("frame", "octets", "parse", "decrypt", "dispatch", "encode", "in all in")
FRAME_S: Final = 0.02
_REPORT: Final = ReceptionReport().elements().encode()


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of full frame that a peer sends in a call.

    `numbered` ones take a sequence number, `asking` ones are answered with a frame that takes one,
    and `echoing` ones repeat a timestamp of ours.
    """

    name: str
    frame_type: int
    subclass: int
    data: bytes = b""
    numbered: bool = True
    asking: bool = False
    echoing: bool = False
    clear: bool = False


KINDS: Final = (
    Kind("VOICE, full", FrameType.VOICE, Format.ULAW, VOICE),
    Kind("DTMF", FrameType.DTMF_END, ord("5")),
    Kind("CNG", FrameType.CNG, 0),
    Kind("CONTROL", FrameType.CONTROL, ControlSubclass.RINGING),
    Kind("ACK", FrameType.IAX, IaxSubclass.ACK, numbered=False, echoing=True),
    Kind("PING", FrameType.IAX, IaxSubclass.PING, asking=True),
    Kind("PONG", FrameType.IAX, IaxSubclass.PONG, _REPORT, echoing=True),
    Kind("LAGRQ", FrameType.IAX, IaxSubclass.LAGRQ, asking=True),
    Kind("LAGRP", FrameType.IAX, IaxSubclass.LAGRP, echoing=True),
    Kind("VNAK", FrameType.IAX, IaxSubclass.VNAK, numbered=False),
    Kind("INVAL in clear", FrameType.IAX, IaxSubclass.INVAL, numbered=False, clear=True),
)


@dataclass(frozen=True, slots=True)
class Cost:
    """CPU microseconds for one frame of a kind."""

    name: str
    octets: int
    parse: float
    decrypt: float
    dispatch: float
    encode: float

    @property
    def received(self) -> float:
        """What receiving one costs in all."""
        return self.parse + self.decrypt + self.dispatch


def costs(frames: int = FRAMES) -> Iterator[Cost]:
    """Measure each kind; the best of some rounds, since other work can only add to a time."""
    yield _mini(frames)
    for kind in KINDS:
        yield min((_full(kind, frames) for _ in range(ROUNDS)), key=lambda cost: cost.received)
    yield _stateless("NEW, no token", IaxSubclass.NEW, new_elements().encode(), frames)
    yield _stateless("POKE", IaxSubclass.POKE, b"", frames)


def table(measured: Iterable[Cost]) -> str:
    """Return the costs in columns for a terminal."""
    lines: list[tuple[str, ...]] = [COLUMNS]
    for cost in measured:
        figures = (cost.parse, cost.decrypt, cost.dispatch, cost.encode, cost.received)
        lines.append((cost.name, str(cost.octets), *(f"{figure:.1f}" for figure in figures)))
    widths = [max(len(line[i]) for line in lines) for i in range(len(COLUMNS))]
    rows = (
        "  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True))
        for line in lines
    )
    return "CPU microseconds for a frame, by kind:\n" + "\n".join(rows)


def _full(kind: Kind, frames: int) -> Cost:
    """Measure a kind of full frame in a call that is up."""
    peer, call = caller_in(State.UP)
    times = _times(peer, frames)
    made = list(_in_sequence(kind, peer, times))
    octets = [frame.encode() for frame in made]
    sealed = octets if kind.clear else [peer.seal(each) for each in octets]
    now = iter(times)
    dispatched = _us(sealed, lambda each: _give(peer.endpoint, each, next(now)))
    assert call.state is State.UP
    assert kind.clear or call.statistics.received_encrypted > frames
    opener, sealer = Opener(bytes(KEY_OCTETS)), Sealer(bytes(KEY_OCTETS))
    parsed = _us(octets, parse_frame_untrusted)
    opened = 0.0 if kind.clear else _us(sealed, opener.open_full)
    encoded = _us(made, lambda frame: sealer.seal_full(frame.encode()))
    rest = max(dispatched - parsed - opened, 0.0)
    return Cost(kind.name, len(sealed[0]), parsed, opened, rest, encoded)


def _in_sequence(kind: Kind, peer: Peer, times: Iterable[float]) -> Iterator[FullFrame]:
    """Give the frames that a peer sends one after the other, each in its turn."""
    sent_by_us = peer.got(IaxSubclass.AUTHREP)[-1].frame.timestamp_ms
    first = peer.frame(kind.frame_type, kind.subclass, kind.data)
    for number, at in enumerate(times):
        peer.now = at
        yield replace(
            first,
            timestamp_ms=sent_by_us if kind.echoing else peer.elapsed_ms,
            oseqno=(first.oseqno + number * kind.numbered) % 256,
            iseqno=(first.iseqno + number * kind.asking) % 256,
        )


def _times(peer: Peer, frames: int) -> Sequence[float]:
    return [peer.now + number * FRAME_S for number in range(1, frames + 1)]


def _mini(frames: int) -> Cost:
    """Measure a mini frame, on the fast path that the relay uses."""
    peer, call = caller_in(State.UP)
    assert call.voice is not None
    times = _times(peer, frames)
    made = [_mini_frame(peer, at) for at in times]
    octets = [frame.encode() for frame in made]
    sealed = [peer.seal(each) for each in octets]
    now, voice = iter(times), call.voice
    opened = _us(sealed, lambda each: voice.open(each, next(now)))
    assert voice.received == frames
    opener = Opener(bytes(KEY_OCTETS))
    decrypted = _us([each[2:] for each in sealed], opener.decrypt)
    parsed = _us(octets, lambda each: (each[:MINI_HEADER_OCTETS], each[MINI_HEADER_OCTETS:]))
    voice.start_period(0)
    encoded = _us(octets, lambda _: voice.seal(VOICE, 20))
    rest = max(opened - decrypted - parsed, 0.0)
    return Cost("VOICE, mini", len(sealed[0]), parsed, decrypted, rest, encoded)


def _mini_frame(peer: Peer, at: float) -> MiniFrame:
    elapsed_ms = round((at - peer.started_at) * 1000)
    return MiniFrame(peer.call_number, elapsed_ms % MINI_MODULUS, VOICE)


def _stateless(name: str, subclass: int, data: bytes, frames: int) -> Cost:
    """Measure what a stranger sends: answered, and no state kept."""
    peer = taker()
    frame = peer.frame(FrameType.IAX, subclass, data)
    octets = [frame.encode()] * frames
    dispatched = _us(octets, lambda each: _give(peer.endpoint, each, peer.now))
    parsed = _us(octets, parse_frame_untrusted)
    encoded = _us([frame] * frames, FullFrame.encode)
    return Cost(name, len(octets[0]), parsed, 0.0, max(dispatched - parsed, 0.0), encoded)


def _give(endpoint: Endpoint, datagram: bytes, now: float) -> None:
    endpoint.receive_datagram(datagram, PEER, now)
    while endpoint.poll_transmit() is not None:
        pass
    while endpoint.poll_event() is not None:
        pass


def _us(items: Sequence[_Item], do: Callable[[_Item], object]) -> float:
    """Return the CPU microseconds of one call: the median of ten parts of the items."""
    size = max(len(items) // 10, 1)
    parts = []
    for start in range(0, len(items), size):
        part = items[start : start + size]
        began = time.process_time()
        for item in part:
            do(item)
        parts.append((time.process_time() - began) / len(part) * 1e6)
    return median(parts)


def main() -> None:
    """Measure, print and record."""
    measured = list(costs())
    print(table(measured))
    for cost in measured:
        parts = ("parse", "decrypt", "dispatch", "encode", "received")
        figures = {f"{part} µs": round(getattr(cost, part), 1) for part in parts}
        record("cost of a frame", {"frame": cost.name, "octets": cost.octets, **figures})


if __name__ == "__main__":
    main()
