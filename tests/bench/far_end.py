"""The light far end: our engine as callee, with its mini frames echoed by a C program.

This process sets calls up and answers them; far_end.c owns the socket and returns audio, so that
hundreds of calls fit beside the gateway under test. Audio that comes in full frames (the first
frame of a call and one each 32.768 s) is echoed here, with the timestamp that it came with.

    SIAX_FAR_END_SECRET=... python -m tests.bench.far_end --bind 127.0.0.21:4569 --binary PATH

Prints {"event": "ready"}, and {"event": "result", ...} once SIGTERM has come.
"""

import argparse
import json
import os
import re
import signal
import socket
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from struct import Struct
from typing import Final
from unittest import mock

import trio

from bridge.iax2 import (
    CalleeCall,
    CallEnded,
    DigitReceived,
    Endpoint,
    Event,
    Format,
    IncomingCall,
    LocalProtocolError,
    User,
    VoiceReceived,
    admission,
)
from bridge.iax2.auth import Address, derive_key
from bridge.iax2.endpoint import CALLS_MAX

SECRET_VARIABLE: Final = "SIAX_FAR_END_SECRET"
_HEADER: Final = Struct("!cxH4s")
_MAPPING: Final = Struct("!HH16s")
_CALL_NUMBER: Final = Struct("!H")
_MESSAGES_A_TURN: Final = 64
_MESSAGE_OCTETS: Final = 4096
_BUFFER_OCTETS: Final = 4 << 20


class FarEnd:
    """One engine behind the control socket of far_end.c.

    Args:
        control: A blocking SOCK_SEQPACKET socket; only ever read when readable.
        user: Who may call.
        expected: What a call's digits are to look like, for the count of complete ones.
        hang_up_after_s: When to end a call after its answer; None leaves it to the caller.
    """

    def __init__(
        self,
        control: socket.socket,
        user: User,
        expected: re.Pattern[str],
        hang_up_after_s: float | None,
    ) -> None:
        self.counts: Counter[str] = Counter()
        self._control = control
        self._user = user
        self._expected = expected
        self._hang_up_after_s = hang_up_after_s
        self._endpoint = Endpoint([user])
        self._digits: dict[CalleeCall, str] = {}
        self._nursery: trio.Nursery | None = None

    async def run(self) -> None:
        """Serves calls until far_end.c goes away or the task is cancelled."""
        async with trio.open_nursery() as self._nursery:
            while True:
                with trio.move_on_at(self._deadline()):
                    await trio.lowlevel.wait_readable(self._control)
                if not self._receive_some():
                    return
                self._endpoint.handle_timeout(trio.current_time())
                self._drain()

    def report(self) -> dict[str, object]:
        """What was counted; `live_calls` must be 0 once every call has ended."""
        return {
            **self.counts,
            "live_calls": self._endpoint.live_calls,
            "engine_dropped": dict(self._endpoint.dropped),
            "cpu_s": round(time.process_time(), 3),
        }

    def _deadline(self) -> float:
        next_timeout = self._endpoint.next_timeout()
        return trio.current_time() + 1 if next_timeout is None else next_timeout

    def _receive_some(self) -> bool:
        """Takes what waits on the control socket, in bounded turns; False when it has closed."""
        for _ in range(_MESSAGES_A_TURN):
            try:
                message = self._control.recv(_MESSAGE_OCTETS, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return True
            if not message:
                return False
            _kind, port, host = _HEADER.unpack_from(message)
            address = (socket.inet_ntoa(host), port)
            self._endpoint.receive_datagram(message[_HEADER.size :], address, trio.current_time())
            self._drain()
        return True

    def _drain(self) -> None:
        """Events first: what they make us say about a call must precede its datagrams."""
        while (event := self._endpoint.poll_event()) is not None:
            self._act(event)
        while (transmit := self._endpoint.poll_transmit()) is not None:
            self._tell(b"S", transmit.address, transmit.data)

    def _act(self, event: Event) -> None:
        match event:
            case IncomingCall(call=CalleeCall() as call):
                self._answer(call)
            case DigitReceived(call=CalleeCall() as call, digit=digit):
                self._digits[call] = self._digits.get(call, "") + digit
            case VoiceReceived(call=call, payload=payload, timestamp_ms=timestamp_ms):
                self.counts["full_voice_frames"] += 1
                call.send_voice(payload, timestamp_ms, trio.current_time())
            case CallEnded(call=CalleeCall() as call):
                self._forget(call, event.reason.name)

    def _answer(self, call: CalleeCall) -> None:
        now = trio.current_time()
        self.counts["answered"] += 1
        key = derive_key(call._challenge, self._user.secrets[0])
        mapping = _MAPPING.pack(call.peer_call_number, call.call_number, key)
        self._tell(b"M", call.address, mapping)
        with suppress(LocalProtocolError):  # it has given up meanwhile
            call.accept(Format.ULAW, now)
            call.answer(now)
        if self._hang_up_after_s is not None and self._nursery is not None:
            self._nursery.start_soon(self._hang_up_later, call, self._hang_up_after_s)

    async def _hang_up_later(self, call: CalleeCall, after_s: float) -> None:
        await trio.sleep(after_s)
        call.hang_up(trio.current_time())
        self._drain()

    def _forget(self, call: CalleeCall, reason: str) -> None:
        self._tell(b"U", call.address, _CALL_NUMBER.pack(call.peer_call_number))
        self.counts[f"ended_{reason}"] += 1
        digits = self._digits.pop(call, "")
        self.counts["complete_numbers"] += bool(self._expected.fullmatch(digits))

    def _tell(self, kind: bytes, address: Address, body: bytes) -> None:
        header = _HEADER.pack(kind, address[1], socket.inet_aton(address[0]))
        self._control.send(header + body)


async def _serve(far_end: FarEnd, announce_ready: Callable[[], None]) -> None:
    """Runs until SIGTERM or SIGINT."""
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async with trio.open_nursery() as nursery:

            async def serve_and_stop() -> None:
                await far_end.run()
                nursery.cancel_scope.cancel()

            nursery.start_soon(serve_and_stop)
            announce_ready()
            async for _signal in signals:
                nursery.cancel_scope.cancel()


def _socket_pair() -> tuple[socket.socket, socket.socket]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for end in (ours, theirs):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER_OCTETS)
    return ours, theirs


def _start_echo(options: argparse.Namespace, control: socket.socket) -> subprocess.Popen[str]:
    command = [str(options.binary), "--bind", options.bind, "--control", str(control.fileno())]
    command += ["--batches"] * options.batches + ["--sink"] * options.sink
    return subprocess.Popen(command, pass_fds=[control.fileno()], stdout=subprocess.PIPE, text=True)


def _await_bound(control: socket.socket) -> None:
    """far_end.c says "R" once it owns the port, and closes where it could not."""
    if control.recv(_MESSAGE_OCTETS)[:1] != b"R":
        raise SystemExit("the far end could not start")


def _stand_aside() -> None:
    """Keeps to the last core, and where we may (root) goes first there, behind load.c."""
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    with suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))


def _say(event: str, **values: object) -> None:
    print(json.dumps({"event": event, **values}), flush=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--bind", required=True)
    parser.add_argument("--binary", type=Path, required=True)
    parser.add_argument("--username", required=True)
    parser.add_argument("--expect", type=re.compile, default=re.compile(""))
    parser.add_argument("--hang-up-after", type=float, default=None)
    parser.add_argument("--batches", action="store_true", help="UDP_SEGMENT and UDP_GRO")
    parser.add_argument("--sink", action="store_true", help="return no audio")
    return parser.parse_args()


def main() -> None:
    """Runs far end and C program side by side."""
    options = _options()
    user = User(options.username, (os.environ[SECRET_VARIABLE].encode(),))
    ours, theirs = _socket_pair()
    _stand_aside()
    echo = _start_echo(options, theirs)
    theirs.close()
    _await_bound(ours)
    far_end = FarEnd(ours, user, options.expect, options.hang_up_after)
    # One gateway is one source; an Asterisk as far end under load has its limit lifted too.
    with mock.patch.multiple(
        admission,
        UNAUTHENTICATED_PER_SOURCE_MAX=admission.UNAUTHENTICATED_MAX,
        CALLS_PER_SOURCE_MAX=CALLS_MAX,
    ):
        trio.run(_serve, far_end, lambda: _say("ready"))
    ours.close()
    echo_counts = json.loads(echo.communicate(timeout=10)[0])
    _say("result", **far_end.report(), echo=echo_counts)


if __name__ == "__main__":
    main()
