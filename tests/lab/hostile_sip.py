"""A bridge under hostile SIP: it takes calls over UDP and TCP, and one call goes on meanwhile.

The far end echoes what the phone of that call says, so its audio is measured both ways.
"""

import os
import random
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import trio

from tests.bench.usage import pss_octets
from tests.lab import LabError
from tests.lab.bridge_process import Address, BridgeConfig, BridgeProcess, merged, run_bridge
from tests.lab.engine_far_end import EngineFarEnd, FarCall, open_far_end
from tests.lab.nursery import open_lab_nursery
from tests.lab.phone import SipPhone, open_phone
from tests.lab.phone_call import PhoneCall
from tests.lab.scene import Echo, assert_nothing_left
from tests.lab.stalls import StallWatch
from tests.lab.two_sites import heard

SIP_PORT: Final = 5060
NUMBER: Final = "5551234"
ANSWERED_WITHIN_S: Final = 20.0
OVERLOADED: Final = 503
ALIVE_WITHIN_S: Final = 10.0
AUDIO_WITHIN_S: Final = 20.0
FRAMES_MIN: Final = 50
LOSS_MAX: Final = 0.005
_ECHO_EVERY_S: Final = 0.01
_LOOK_EVERY_S: Final = 0.2
_DIAL_AGAIN_S: Final = 1.0
_ASK_AGAIN_S: Final = 0.5
_DIALING: Final = {"slots": 12, "slot_ms": 20, "start_ms": [0, 40], "terminator": "#"}


@dataclass
class Target:
    """The bridge, and a phone that talks through it.

    Attributes:
        network: Three octets of loopback addresses that are ours alone.
    """

    network: str
    bridge: BridgeProcess
    phone: SipPhone
    far: EngineFarEnd
    stalls: StallWatch

    @property
    def address(self) -> Address:
        """Where the bridge listens, over UDP and TCP."""
        return self.bridge.sip

    def host(self, number: int) -> str:
        """A loopback address of ours."""
        return f"{self.network}.{number}"

    async def talk(self) -> PhoneCall:
        """A call that is up, with audio both ways; dialed again while the bridge is overloaded.

        Raises:
            LabError: It is not answered.
        """
        with trio.move_on_after(ANSWERED_WITHIN_S):
            while True:
                call = await self.phone.call(self.address, f"9{NUMBER}")
                call.audio.source = call.audio.marked
                if (await call.status(200, ANSWERED_WITHIN_S)).status != OVERLOADED:
                    break
                await trio.sleep(_DIAL_AGAIN_S)
        await call.answered(0)
        self.phone.spawn(_echoing(self.far.calls[-1]))
        return call

    async def hang_up(self, call: PhoneCall) -> Echo:
        """Ends the last call, which nothing else has ended, and tells what became of its audio.

        Frames enough to judge by have come back then, unless it took too long.
        """
        with trio.move_on_after(AUDIO_WITHIN_S):
            while call.audio.echo_report().sent < FRAMES_MIN:  # noqa: ASYNC110 # as below
                await trio.sleep(_LOOK_EVERY_S)
        assert not call.ended.is_set()
        over = self._calls_over()
        await call.bye()
        with trio.fail_after(ANSWERED_WITHIN_S):
            while self._calls_over() == over:  # noqa: ASYNC110 # another process writes it
                await trio.sleep(_ECHO_EVERY_S)
        return heard(call.audio, call.audio, self.bridge, len(self.stalls.late_at_s))

    def _calls_over(self) -> int:
        return self.bridge.output().count('"call over"')

    async def assert_alive(self) -> None:
        """Asserts that the bridge runs and answers OPTIONS.

        Raises:
            LabError: It does not.
        """
        await ask(self.address, self.host(9), self.bridge)

    def memory(self) -> int:
        """Octets that the bridge would free by ending."""
        return pss_octets([self.bridge.pid])


def assert_audio(echo: Echo) -> None:
    """Asserts that less than 0.5 % of the frames got lost, or one of a few."""
    lost = echo.report.lost - (min(echo.given_up, echo.report.lost) if echo.stalls else 0)
    assert echo.report.sent >= FRAMES_MIN, echo
    assert lost <= max(1, LOSS_MAX * echo.report.sent), echo


@asynccontextmanager
async def open_target(
    folder: Path,
    sip: Mapping[str, Any] | None = None,
    log_level: str = "info",
) -> AsyncIterator[Target]:
    """Run the set; leaving the block checks how the bridge ends, and that nothing is left.

    Args:
        folder: Where the bridge's configuration goes.
        sip: Merged into its section sip.
        log_level: The bridge's.
    """
    network = f"127.{random.randrange(64, 192)}.{random.randrange(256)}"
    host = f"{network}.1"
    listen = [f"{kind}://{host}:{SIP_PORT}" for kind in ("udp", "tcp")]
    own = merged({"listen": listen}, sip or {})
    async with open_far_end() as far, open_phone(f"{network}.2") as phone:
        config = BridgeConfig(
            far.address,
            far.secret,
            sip=(host, SIP_PORT),
            overrides={
                "links": {"dialing": _DIALING},
                "sip": own,
                "allow_inline_secrets": "true",
            },
        )
        async with open_lab_nursery() as nursery, run_bridge(config, folder, log_level) as bridge:
            stalls = StallWatch([os.getpid(), bridge.pid])
            nursery.start_soon(stalls.run)
            yield Target(network, bridge, phone, far, stalls)
    assert_nothing_left(bridge)


async def ask(address: Address, host: str, bridge: BridgeProcess) -> None:
    """Sends OPTIONS until it is answered.

    Raises:
        LabError: The bridge has ended, or does not answer within 10 s.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as raw:
        raw.settimeout(0)
        raw.bind((host, 0))
        asking = trio.socket.from_stdlib_socket(raw)
        token = f"{random.getrandbits(64):x}"
        question = _options(address, raw.getsockname(), token)
        with trio.move_on_after(ALIVE_WITHIN_S):
            while bridge.process.returncode is None:
                await asking.sendto(question, address)
                with trio.move_on_after(_ASK_AGAIN_S):
                    while token.encode() not in await asking.recv(65535):
                        pass
                    return
    raise LabError(f"the bridge is gone or silent; status {bridge.process.returncode}")


def _options(address: Address, own: Address, token: str) -> bytes:
    there, here = f"{address[0]}:{address[1]}", f"{own[0]}:{own[1]}"
    lines = [
        f"OPTIONS sip:siax@{there} SIP/2.0",
        f"Via: SIP/2.0/UDP {here};rport;branch=z9hG4bK{token}",
        "Max-Forwards: 70",
        f"From: <sip:lab@{here}>;tag={token}",
        f"To: <sip:siax@{there}>",
        f"Call-ID: {token}",
        "CSeq: 1 OPTIONS",
        "Content-Length: 0",
    ]
    return "\r\n".join([*lines, "", ""]).encode()


def _echoing(call: FarCall) -> Any:  # noqa: ANN401
    async def run() -> None:
        number = 0
        while not call.ended.is_set():
            for voice in call.voice[number:]:
                with suppress(LabError):  # it has just ended
                    call.send_voice(voice.payload, number)
                number += 1
            await trio.sleep(_ECHO_EVERY_S)

    return run
