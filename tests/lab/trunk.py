"""A SIP trunk that asks for a password: a registrar and a phone behind it, over UDP.

Written from RFC 3261 and RFC 7616 without the bridge's code, as is all that proves it.
"""

import re
import socket
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import trio

from tests.lab import LabError
from tests.lab.digest_client import proves
from tests.lab.nursery import open_lab_nursery
from tests.lab.phone import SipPhone
from tests.lab.phone_call import Address, new_token
from tests.lab.sip_message import SipMessage

USER = "site-7"
PASSWORD = "a password of the trunk"
REALM = "trunk.example.com"
_PROXY = ("proxy-authenticate", "proxy-authorization", "407 Proxy Authentication Required")
_SERVER = ("www-authenticate", "authorization", "401 Unauthorized")


@dataclass(frozen=True, slots=True)
class Demand:
    """How the trunk wants to be shown the password, and what it does with who shows it.

    Attributes:
        algorithms: Offered in this order.
        as_proxy: INVITE is challenged by 407; REGISTER always by 401.
        grants_s: For how long a registration holds.
    """

    algorithms: tuple[str, ...] = ("MD5",)
    as_proxy: bool = False
    grants_s: int = 600


@dataclass(frozen=True, slots=True)
class Registered:
    """A REGISTER that was taken."""

    at_s: float
    contact: str
    expires_s: int
    authorization: str = field(repr=False)


class SipTrunk(SipPhone):
    """The trunk; calls that have shown the password come out of `incoming`.

    Attributes:
        demand: What it asks for.
        registered: What it has taken, in order.
        refused: How many requests showed a wrong password.
        requests: Everything that came, in order.
    """

    def __init__(self, raw: socket.socket, nursery: trio.Nursery, demand: Demand) -> None:
        super().__init__(raw, nursery)
        self.demand = demand
        self.registered: list[Registered] = []
        self.refused = 0
        self.requests: list[SipMessage] = []
        self._nonces = {new_token()}
        self._news = trio.Condition()

    async def registers(self, count: int, within_s: float) -> Registered:
        """Waits until so many REGISTERs were taken; returns the last of them.

        Raises:
            LabError: They did not come.
        """
        with trio.move_on_after(within_s):
            async with self._news:
                while len(self.registered) < count:
                    await self._news.wait()
            return self.registered[count - 1]
        raise LabError(f"{len(self.registered)} registrations, not {count}")

    async def _dispatch(self, message: SipMessage, source: Address) -> None:
        if not message.headers:
            return  # it keeps a NAT open
        if message.status:
            await super()._dispatch(message, source)
            return
        self.requests.append(message)
        match message.method:
            case "REGISTER":
                if self._has_proved(message, source, _SERVER):
                    await self._take(message, source)
            case "INVITE" if "tag=" not in message.get("to"):
                if self._has_proved(message, source, _PROXY if self.demand.as_proxy else _SERVER):
                    await super()._dispatch(message, source)
            case "OPTIONS":
                self._reply(message, source, "200 OK")
            case _:
                await super()._dispatch(message, source)

    def _has_proved(self, message: SipMessage, source: Address, how: tuple[str, str, str]) -> bool:
        challenge, proof, status_line = how
        value = message.get(proof)
        nonce = re.search(r'nonce="([^"]*)"', value)
        if nonce and nonce[1] in self._nonces:
            if proves(value, USER, REALM, PASSWORD, message.method):
                return True
            self.refused += 1
            self._reply(message, source, "403 Forbidden")
            return False
        nonce_now = next(iter(self._nonces))
        self._reply(
            message,
            source,
            status_line,
            (
                (
                    challenge,
                    f'Digest realm="{REALM}", nonce="{nonce_now}", algorithm={name}, qop="auth"',
                )
                for name in self.demand.algorithms
            ),
        )
        return False

    async def _take(self, message: SipMessage, source: Address) -> None:
        contact = message.get("contact")
        asked = re.search(r"expires=(\d+)", contact) or re.match(r"(\d+)", message.get("expires"))
        expires_s = min(int(asked[1]) if asked else 3600, self.demand.grants_s)
        named = (("contact", f"{contact.partition(';expires')[0]};expires={expires_s}"),)
        self._reply(message, source, "200 OK", named if expires_s else ())
        proof = message.get("authorization")
        self.registered.append(Registered(trio.current_time(), contact, expires_s, proof))
        async with self._news:
            self._news.notify_all()

    def _reply(
        self,
        request: SipMessage,
        source: Address,
        status_line: str,
        headers: Iterable[tuple[str, str]] = (),
    ) -> None:
        copied = [
            pair for name in ("via", "from", "to", "call-id", "cseq") for pair in request.all(name)
        ]
        tagged = [(k, f"{v};tag=trunk" if k == "to" and "tag=" not in v else v) for k, v in copied]
        self.send(SipMessage(f"SIP/2.0 {status_line}", (*tagged, *headers)), source)


@asynccontextmanager
async def open_trunk(
    demand: Demand | None = None, host: str = "127.0.0.1"
) -> AsyncIterator[SipTrunk]:
    """A trunk that listens until the block is left."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as raw:
        raw.settimeout(0)
        raw.bind((host, 0))
        async with open_lab_nursery() as nursery:
            trunk = SipTrunk(raw, nursery, demand or Demand())
            nursery.start_soon(trunk.run)
            yield trunk
