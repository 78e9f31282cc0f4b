"""What the bridge takes while nobody calls: five links whose peers answer, and registered phones.

python -m tests.bench.idle --phones 100 --seconds 30
"""

import argparse
import secrets
import select
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final

import yaml

from tests.bench.far_end_process import FarEndProcess
from tests.bench.gateways import SIP_PORT, BridgeGateway, Site
from tests.bench.tools import build_tools
from tests.bench.usage import cpu_s, process_tree, pss_octets
from tests.lab import LabError
from tests.lab.bridge_process import BridgeConfig
from tests.lab.digest_client import authorization
from tests.lab.results import record
from tests.lab.sip_message import SipMessage

LINKS: Final = 5
CPU_MAX_PERCENT: Final = 0.5
MEMORY_MAX: Final = 90_000_000
SETTLE_S: Final = 3.0
_ANSWER_S: Final = 5.0
_REFUSED: Final = 401


@dataclass(frozen=True, slots=True)
class _ManyConfig(BridgeConfig):
    """A configuration with more links of the same kind, and with phones."""

    passwords: Mapping[str, str] = field(default_factory=dict, repr=False)

    def write(self, folder: Path) -> tuple[Path, tuple[str, int]]:
        path, sip = BridgeConfig.write(self, folder)
        model: dict[str, Any] = yaml.safe_load(path.read_text())
        ((name, link),) = model["links"].items()
        model["links"] = {name: link, **{f"{name}-{n}": link for n in range(2, LINKS + 1)}}
        model["sip"]["phones"] = [self._phone(folder, user) for user in self.passwords]
        path.write_text(yaml.safe_dump(model))
        return path, sip

    def _phone(self, folder: Path, user: str) -> dict[str, Any]:
        secret = folder / "secrets" / user
        secret.write_text(self.passwords[user] + "\n")
        secret.chmod(0o600)
        return {"user": user, "password": {"file": f"secrets/{user}"}}


class IdleGateway(BridgeGateway):
    """The bridge with five links and phones that may register."""

    def __init__(self, site: Site, passwords: Mapping[str, str]) -> None:
        super().__init__(site)
        self._config = _ManyConfig(
            **{each.name: getattr(self._config, each.name) for each in fields(BridgeConfig)},
            passwords=passwords,
        )


@contextmanager
def registered(site: Site, passwords: Mapping[str, str]) -> Iterator[list[socket.socket]]:
    """Phones, each with a socket of its own, that have registered."""
    with ExitStack() as opened:
        phones = []
        for user, password in passwords.items():
            phone = opened.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            phone.bind((site.phone, 0))
            phone.settimeout(_ANSWER_S)
            phone.connect((site.gateway, SIP_PORT))
            _register(phone, site, user, password)
            phones.append(phone)
        yield phones


def _answer_for(phones: Sequence[socket.socket], seconds: float) -> int:
    """Lets phones answer the bridge's OPTIONS; how many it sent."""
    asked = 0
    deadline = time.monotonic() + seconds
    while (left_s := deadline - time.monotonic()) > 0:
        for phone in select.select(phones, (), (), left_s)[0]:
            phone.send(_found(phone.recv(4096)))
            asked += 1
    return asked


def _found(request: bytes) -> bytes:
    """A 200 with the headers of the request that a response repeats."""
    repeated = (b"via", b"from", b"to", b"call-id", b"cseq")
    lines = request.split(b"\r\n\r\n", 1)[0].split(b"\r\n")[1:]
    kept = [line for line in lines if line.split(b":", 1)[0].strip().lower() in repeated]
    return b"\r\n".join([b"SIP/2.0 200 OK", *kept, b"Content-Length: 0", b"", b""])


def _register(phone: socket.socket, site: Site, user: str, password: str) -> None:
    uri = f"sip:{site.gateway}"
    challenge = _answer(phone, user, uri, 1)
    if challenge.status != _REFUSED:
        raise LabError(f"a phone met {challenge.start_line} in place of a challenge")
    asked = challenge.get("www-authenticate")
    proof = authorization(asked, user, password, "REGISTER", uri)
    if (answer := _answer(phone, user, uri, 2, f"Authorization: {proof}\r\n")).status != 200:
        raise LabError(f"a phone could not register: {answer.start_line}")


def _answer(phone: socket.socket, user: str, uri: str, cseq: int, more: str = "") -> SipMessage:
    host, port = phone.getsockname()
    place, site = f"{host}:{port}", uri.removeprefix("sip:")
    phone.send(
        (
            f"REGISTER {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {place};branch=z9hG4bK{user}{cseq}\r\n"
            f"Max-Forwards: 70\r\nFrom: <sip:{user}@{site}>;tag={user}\r\n"
            f"To: <sip:{user}@{site}>\r\nCall-ID: {user}\r\nCSeq: {cseq} REGISTER\r\n"
            f"Contact: <sip:{user}@{place}>\r\nExpires: 3600\r\n{more}Content-Length: 0\r\n\r\n"
        ).encode()
    )
    return SipMessage.parse(phone.recv(4096))


@dataclass(frozen=True, slots=True)
class Idle:
    """What an idle bridge takes; `asked` counts its OPTIONS, each answered."""

    phones: int
    asked: int
    cpu_percent: float
    memory: int

    def faults(self) -> list[str]:
        """Which limits it misses."""
        found = []
        if self.cpu_percent > CPU_MAX_PERCENT:
            found.append(f"idle CPU {self.cpu_percent:.2f} % of {CPU_MAX_PERCENT}")
        if self.memory > MEMORY_MAX:
            found.append(f"idle memory {self.memory / 1e6:.1f} of {MEMORY_MAX / 1e6:.0f} MB")
        return found


def measure_idle(phones: int, seconds: float) -> Idle:
    """Starts bridge, far end and phones, and watches the bridge.

    Raises:
        LabError: Something did not start, or a phone could not register.
    """
    site = Site.free()
    passwords = {f"phone{number}": secrets.token_urlsafe(24) for number in range(phones)}
    with FarEndProcess(build_tools(), site), IdleGateway(site, passwords) as gateway:
        with registered(site, passwords) as sockets:
            _answer_for(sockets, SETTLE_S)
            pids = process_tree(gateway.pid)
            begin_s, began_at = cpu_s(pids), time.monotonic()
            asked = _answer_for(sockets, seconds)
            spent_s, passed_s = cpu_s(pids) - begin_s, time.monotonic() - began_at
            found = Idle(phones, asked, 100 * spent_s / passed_s, pss_octets(pids))
        gateway.finish()
    return found


def main() -> None:
    """Prints and records the result; exits with 1 where a limit is missed."""
    parser = argparse.ArgumentParser(description="What the bridge takes while nobody calls.")
    parser.add_argument("--phones", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=60.0)
    options = parser.parse_args()
    try:
        found = measure_idle(options.phones, options.seconds)
    except LabError as error:
        raise SystemExit(f"idle: {error}") from error
    figures = {
        "links": LINKS,
        "registered_phones": found.phones,
        "phones_asked_by_OPTIONS": found.asked,
        "CPU_percent": round(found.cpu_percent, 3),
        "memory_MB": round(found.memory / 1e6, 1),
    }
    record("idle", figures)
    print(figures, *found.faults(), sep="\n")
    raise SystemExit(1 if found.faults() else 0)


if __name__ == "__main__":
    main()
