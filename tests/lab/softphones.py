"""What softphones register with: a bridge that listens over UDP, TCP and TLS at its own address."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Protocol

import trio

from bridge.config.secret import new_secret
from tests.lab import LabError
from tests.lab.addresses import free_iax_address
from tests.lab.asterisk_config import EXTENSION, IAX_PORT, USERNAME, PeerSettings, caller
from tests.lab.bridge_process import BridgeConfig
from tests.lab.certificates import self_signed
from tests.lab.tone import power_share
from tests.lab.two_sites import DESK, DESK_PASSWORD, NOWHERE, NUMBER, SECOND

PORTS: Final = {"udp": 5060, "tcp": 5060, "tls": 5061}
PASSWORD: Final = DESK_PASSWORD.replace(" ", "-")
"""Softphones' own files know no spaces."""
RATE_HZ: Final = 8000
WINDOW_S: Final = 0.2
HEARS_WITHIN_S: Final = 5.0
IS_HEARD: Final = 0.9


@dataclass(frozen=True, slots=True)
class Registrar:
    """A bridge's address for phones, and the certificate that it shows there."""

    host: str
    certificate: Path
    key: Path

    @classmethod
    def make(cls, folder: Path) -> "Registrar":
        """One at a free address, with a certificate of its own."""
        host = free_iax_address()
        folder.mkdir(exist_ok=True)
        return cls(host, *self_signed(folder, host=host))

    def uri(self, user: str, transport: str) -> str:
        """The address of a user, or of a number, over a transport."""
        return f"sip:{user}@{self.host}:{PORTS[transport]};transport={transport}"

    def calls(self, peer: str, secret: str, **link: Any) -> BridgeConfig:  # noqa: ANN401
        """A bridge for the phones DESK and SECOND that calls a peer for numbers behind a 9."""
        return self._config(peer, secret, {"links": link})

    def accepts(self, secret: str) -> BridgeConfig:
        """A bridge for the phone DESK that rings it for numbers in 27, from a link."""
        taken = {"username": USERNAME, "secret": secret, "from": ["127.0.0.0/8"]}
        entry = {"from": "hq", "match": r"27\d+", "to": f"phone:{DESK}"}
        link = {"accept": taken, "extension": EXTENSION}
        return self._config(NOWHERE, new_secret(), {"links": link, "dialplan": [entry]})

    def _config(self, peer: str, secret: str, overrides: Mapping[str, Any]) -> BridgeConfig:
        sip = {
            "listen": [f"{name}://{self.host}:{port}" for name, port in PORTS.items()],
            "tls": {"certificate": str(self.certificate), "key": str(self.key)},
            "digest": ["md5"],  # softphones of libre refuse a challenge that offers SHA-256, too
            "phones": [{"user": user, "password": PASSWORD} for user in (DESK, SECOND)],
            "allow": [],
            "hold_music": "comfort",
            "in_band_digits": True,  # for phones that offer nothing else
        }
        return BridgeConfig(
            peer,
            secret,
            sip=(self.host, PORTS["udp"]),
            iax=(self.host, IAX_PORT),
            overrides={"allow_inline_secrets": "true", "sip": sip, **overrides},
        )


def dialing_and_echoing(peer: str, secret: str) -> PeerSettings:
    """An Asterisk that calls a bridge as IAX2/hq, dials NUMBER and echoes: its context `echoes`."""
    shipped = caller(free_iax_address(), f"{peer}:{IAX_PORT}", secret)
    plan = f"[echoes]\nexten => s,1,SendDTMF({NUMBER}#,60)\n same => n,Echo()\n"
    return replace(shipped, files={**shipped.files, "extensions.conf": plan})


class Listening(Protocol):
    """A phone that keeps what it has heard."""

    def heard(self) -> list[int]:
        """All of it, as linear samples at 8000 Hz."""
        ...


class Softphone(Listening, Protocol):
    """A phone that registers and has one call at a time."""

    async def call(self, uri: str) -> None:
        """Call somebody."""

    async def sees_ringing(self) -> None:
        """Wait until it is told that whom it calls rings."""

    async def rings(self) -> None:
        """Wait until somebody calls it."""

    async def answer(self) -> None:
        """Answer whoever calls."""

    async def talks(self) -> None:
        """Wait until its call is up."""

    async def hold(self) -> None:
        """Hold its call."""

    async def resume(self) -> None:
        """Hold it no longer."""

    async def give_to(self, uri: str) -> None:
        """Give its call to somebody else."""

    async def hang_up(self) -> None:
        """End its call."""

    async def is_over(self) -> None:
        """Wait until its call has ended."""


async def hears(phone: Listening, tone_hz: float, *, no_more: bool = False) -> None:
    """Wait until the last 0.2 s that a phone has heard are a tone and little else, or are not.

    Raises:
        LabError: That is not so within 5 s.
    """
    samples, begin, share = round(WINDOW_S * RATE_HZ), len(phone.heard()), 0.0
    with trio.move_on_after(HEARS_WITHIN_S):
        while True:
            await trio.sleep(WINDOW_S)
            audio = phone.heard()[begin:]
            if len(audio) >= samples:
                share = power_share(audio[-samples:], tone_hz)
                if (share < IS_HEARD) is no_more:
                    return
    raise LabError(f"{share:.0%} of what the phone hears lies at {tone_hz} Hz")
