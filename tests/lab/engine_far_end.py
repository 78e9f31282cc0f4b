"""A far end of our own engine in the test's process: it does with each call what the test says.

It owns one socket and tells what came in each call, voice frame by voice frame. It knows no SIP.
"""

import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import trio
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from bridge.iax2 import (
    Address,
    CalleeCall,
    CallEnded,
    CallKeys,
    ControlSubclass,
    DigitReceived,
    Endpoint,
    EndReason,
    Event,
    Format,
    IncomingCall,
    User,
    VoiceReceived,
)
from bridge.iax2.voice import FRAME_MS
from bridge.net.link_socket import LinkSocket
from tests.lab import LabError
from tests.lab.nursery import open_lab_nursery
from tests.lab.sip_message import place_of

USERNAME = "branch-7"


@dataclass(frozen=True, slots=True)
class HeardVoice:
    """A voice frame, with trio's time of its arrival."""

    at_s: float
    timestamp_ms: int
    payload: bytes = field(repr=False)


class FarCall:
    """One call that came in.

    Attributes:
        digits: Those that came, the terminator included.
        voice: All voice frames that came.
        ended: Set at its end; `reason` and `cause` are the bridge's then.
    """

    def __init__(self, call: CalleeCall, drain: Callable[[], None]) -> None:
        self.digits = ""
        self.voice: list[HeardVoice] = []
        self.ended = trio.Event()
        self.ended_at_s = 0.0
        self.reason: EndReason | None = None
        self.cause: int | None = None
        self._first_ms = 0
        self._call, self._drain = call, drain

    @property
    def keys(self) -> CallKeys | None:
        """Whence the keys of both directions are."""
        return self._call.keys

    def accept(self) -> None:
        """Accepts it in mu-law, so that it waits for the answer."""
        self._call.accept(Format.ULAW, trio.current_time())
        self._drain()

    def answer(self) -> None:
        """Answers it, after having accepted it."""
        self._call.answer(trio.current_time())
        self._drain()

    def reject(self, cause: int) -> None:
        """Refuses it."""
        self._call.reject(trio.current_time(), cause)
        self._drain()

    def hang_up(self, cause: int) -> None:
        """Ends it."""
        self._call.hang_up(trio.current_time(), cause)
        self._drain()

    def send_digit(self, digit: str) -> None:
        """Sends one digit."""
        self._call.send_digit(digit, trio.current_time())
        self._drain()

    def send_voice(self, payload: bytes, number: int) -> None:
        """Sends a frame of 20 ms, the first of them at the time of the first one's sending."""
        now, voice = trio.current_time(), self._call.voice
        if voice is None:
            raise LabError("the call is not accepted")
        if number == 0:
            self._first_ms = voice.elapsed_ms(now) // FRAME_MS * FRAME_MS
        self._call.send_voice(payload, self._first_ms + number * FRAME_MS, now)
        self._drain()

    def send_control(self, subclass: ControlSubclass) -> None:
        """Sends a CONTROL frame."""
        self._call.send_control(subclass, trio.current_time())
        self._drain()

    async def wait_ended(self, within_s: float) -> None:
        """Waits for its end.

        Raises:
            LabError: It did not end.
        """
        with trio.move_on_after(within_s):
            await self.ended.wait()
            return
        raise LabError(f"the far end's call did not end within {within_s} s")


class EngineFarEnd:
    """The far end; made by `open_far_end`.

    Attributes:
        secret: Shared with the bridge.
        calls: Those that came in, oldest first.
        refused: Why each call ended whose caller has proven nothing.
        on_call: What is done with each; by default it is accepted and answered.
    """

    def __init__(self, host: str, public_key: RSAPublicKey | None) -> None:
        self.secret = secrets.token_urlsafe(32)
        self.calls: list[FarCall] = []
        self.refused: list[EndReason] = []
        self.on_call: Callable[[FarCall], None] = accept_and_answer
        self._by_call: dict[object, FarCall] = {}
        self._life = trio.CancelScope()
        self._dead = trio.Event()
        user = User(USERNAME, (self.secret.encode(),), public_key=public_key)
        self._endpoint = Endpoint([user])
        self._socket = LinkSocket((host, 0), self._endpoint, _slow_path, self._handle)

    @property
    def address(self) -> str:
        """Where it listens, as "host:port"."""
        host, port = self._socket.address[:2]
        return place_of(host, port)

    async def call(self, number: int, within_s: float = 3.0) -> FarCall:
        """Waits for a call, the first being 1.

        Raises:
            LabError: It did not come.
        """
        with trio.move_on_after(within_s):
            while len(self.calls) < number:  # noqa: ASYNC110 - tests need no events
                await trio.sleep(0.005)
            return self.calls[number - 1]
        raise LabError(f"call {number} did not reach the far end within {within_s} s")

    async def run(self) -> None:
        """Serves until cancelled or dead."""
        try:
            with self._life:
                await self._socket.run()
        finally:
            self._socket.close()
            self._dead.set()

    async def die(self) -> None:
        """Says nothing any more, not even goodbye."""
        self._life.cancel()
        await self._dead.wait()

    def _handle(self, event: Event, now: float) -> None:
        match event:
            case IncomingCall(call=CalleeCall() as call):
                taken = self._by_call[call] = FarCall(call, self._socket.drain)
                self.calls.append(taken)
                self.on_call(taken)
            case DigitReceived(call=call, digit=digit):
                self._by_call[call].digits += digit
            case VoiceReceived(call=call, payload=payload, timestamp_ms=timestamp_ms):
                self._by_call[call].voice.append(HeardVoice(now, timestamp_ms, payload))
            case CallEnded(call=call, reason=reason) if call not in self._by_call:
                self.refused.append(reason)
            case CallEnded(call=call, reason=reason, cause=cause):
                ended = self._by_call[call]
                ended.reason, ended.cause, ended.ended_at_s = reason, cause, now
                ended.ended.set()


@asynccontextmanager
async def open_far_end(
    host: str = "127.0.0.1", public_key: RSAPublicKey | None = None
) -> AsyncIterator[EngineFarEnd]:
    """A far end that serves until the block is left; with a key its callers have to sign."""
    far_end = EngineFarEnd(host, public_key)
    async with open_lab_nursery() as nursery:
        nursery.start_soon(far_end.run)
        yield far_end


def accept_and_answer(call: FarCall) -> None:
    """Takes a call as an Asterisk's Answer() does."""
    call.accept()
    call.answer()


def _slow_path(_datagram: bytes, _address: Address, _now: float) -> bool:
    """Leave all voice to the engine, which tells of each frame."""
    return False
