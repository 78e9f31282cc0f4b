"""The far end of the demo: our own IAX2 engine in the place of a PBX.

It takes encrypted calls to one extension, answers them, collects the digits up to the terminator,
and only then speaks: its own test tone, or, for somebody at a softphone, a moment of tone and then
what the softphone says.
"""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Final

import trio

from bridge.demo.audio import FORMAT, FRAME_S, ToneEnd
from bridge.iax2 import (
    Address,
    Call,
    CalleeCall,
    CallEnded,
    Cause,
    DigitReceived,
    Endpoint,
    Event,
    IncomingCall,
    User,
    VoiceReceived,
)
from bridge.net.link_socket import LinkSocket

TONE_BEFORE_ECHO_S: Final = 2.0
ECHO_FRAMES_MAX: Final = 3


@dataclass(eq=False, slots=True)
class FarEndCall:
    """One call at the far end.

    Attributes:
        audio: Its tone, and what it hears.
        username, called_number: What the NEW said, in clear.
        digits: What has come inside the encryption; the terminator is not kept.
        dialed_at: When the terminator came, on the monotonic clock.
        over: Set at the end of the call.
        end: Why it ended, in the engine's words.
        cause: The bridge's cause code.
    """

    call: CalleeCall
    audio: ToneEnd
    username: str
    called_number: str = field(repr=False)
    digits: str = field(default="", repr=False)
    dialed_at: float | None = None
    over: trio.Event = field(default_factory=trio.Event)
    end: str = ""
    cause: int | None = None
    echo: deque[bytes] = field(default_factory=lambda: deque(maxlen=ECHO_FRAMES_MAX), repr=False)


class FarEnd:
    """Takes all calls of one user.

    Args:
        host: Loopback address; the port is chosen.
        user: Who may call.
        extension: The one extension that there is.
        terminator: The digit that ends a number.
        make_audio: Makes a call's tone.

    Attributes:
        calls: Those taken since the start.
        echoes: Whether callers hear themselves after a moment of tone.
        on_dialed, on_over: Called with a call when its number is complete, and when it is over.
    """

    def __init__(
        self,
        host: str,
        user: User,
        extension: str,
        terminator: str,
        make_audio: Callable[[], ToneEnd],
    ) -> None:
        self.calls: list[FarEndCall] = []
        self.echoes = False
        self.on_dialed: Callable[[FarEndCall], None] = _nothing
        self.on_over: Callable[[FarEndCall], None] = _nothing
        self._extension = extension
        self._terminator = terminator
        self._make_audio = make_audio
        self._by_call: dict[Call, FarEndCall] = {}
        self._nursery: trio.Nursery | None = None
        self._socket = LinkSocket((host, 0), Endpoint([user]), _take_no_voice, self._handle)

    @property
    def address(self) -> Address:
        """Where it is."""
        return self._socket.address

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Take calls until cancelled."""
        try:
            async with trio.open_nursery() as self._nursery:
                self._nursery.start_soon(self._socket.run)
                task_status.started()
        finally:
            self._socket.close()

    def _handle(self, event: Event, now: float) -> None:
        if isinstance(event, IncomingCall):
            self._take(event, now)
            return
        call = self._by_call.get(event.call)
        if call is None:
            return
        match event:
            case DigitReceived(digit=digit):
                self._collect(call, digit)
            case VoiceReceived(payload=payload):
                call.audio.receive(payload, time.monotonic())
                call.echo.append(payload)
            case CallEnded(reason=reason, cause=cause):
                call.end, call.cause = reason.value, cause
                del self._by_call[event.call]
                call.over.set()
                self.on_over(call)

    def _take(self, event: IncomingCall, now: float) -> None:
        callee = event.call
        if not isinstance(callee, CalleeCall):
            return
        if event.called_number != self._extension or FORMAT not in event.formats:
            callee.reject(now, Cause.NO_ROUTE_DESTINATION)
            return
        call = FarEndCall(callee, self._make_audio(), event.username, event.called_number)
        self.calls.append(call)
        self._by_call[callee] = call
        callee.accept(FORMAT, now)
        callee.answer(now)

    def _collect(self, call: FarEndCall, digit: str) -> None:
        if call.dialed_at is not None:
            return
        if digit != self._terminator:
            call.digits += digit
            return
        call.dialed_at = time.monotonic()
        if self._nursery is not None:
            self._nursery.start_soon(partial(self._speak, call))
        self.on_dialed(call)

    async def _speak(self, call: FarEndCall) -> None:
        """Send a frame each 20 ms until the call is over."""
        voice = call.call.voice
        if voice is None:
            return
        due = began = trio.current_time()
        timestamp_ms = voice.elapsed_ms(due)
        while not call.over.is_set():
            echoes = self.echoes and due - began >= TONE_BEFORE_ECHO_S
            payload = _echo(call) if echoes else call.audio.next_frame(time.monotonic())
            if payload:
                call.call.send_voice(payload, timestamp_ms, trio.current_time())
                self._socket.drain()
            due += FRAME_S
            timestamp_ms += round(FRAME_S * 1000)
            await trio.sleep_until(due)


def _echo(call: FarEndCall) -> bytes:
    """Return the oldest frame that has come and not gone back; nothing where none has."""
    return call.echo.popleft() if call.echo else b""


def _take_no_voice(_datagram: bytes, _address: Address, _now: float) -> bool:
    """Leave all voice to the engine: for one call there is no need of a fast path."""
    return False


def _nothing(_call: FarEndCall) -> None:
    """Stand in for a callback that nobody has set."""
