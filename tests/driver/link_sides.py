"""Two link sockets with an endpoint each, and sockets of others that speak to them."""

import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager

import trio

from bridge.iax2 import (
    Address,
    Call,
    CallAnswered,
    CalleeCall,
    CallProfile,
    ChallengeMemory,
    Endpoint,
    Event,
    Format,
    IncomingCall,
    User,
)
from bridge.net.link_socket import LinkSocket

LOOPBACK = ("127.0.0.1", 0)
SECRET = b"a secret of the socket tests"
WITHIN_S = 3.0


class Voice:
    """Stands for the relay: takes what does not look like a full frame."""

    def __init__(self) -> None:
        self.datagrams: list[bytes] = []
        self.addresses: set[Address] = set()
        self.news = trio.Event()

    def __call__(self, datagram: bytes, address: Address, _now: float) -> bool:
        if datagram[:1] >= b"\x80":
            return False
        self.datagrams.append(datagram)
        self.addresses.add(address)
        self.news.set()
        return True

    async def came(self, count: int) -> None:
        with trio.fail_after(WITHIN_S):
            while len(self.datagrams) < count:
                self.news = trio.Event()
                await self.news.wait()


class Events:
    """Takes down what the engine tells; `act` may react to it."""

    def __init__(self) -> None:
        self.told: list[Event] = []
        self.act: Callable[[Event, float], None] = lambda _event, _now: None
        self.news = trio.Event()

    def __call__(self, event: Event, now: float) -> None:
        self.told.append(event)
        self.act(event, now)
        self.news.set()

    async def came(self, kind: type[Event]) -> None:
        with trio.fail_after(WITHIN_S):
            while not any(isinstance(event, kind) for event in self.told):
                self.news = trio.Event()
                await self.news.wait()


class Side:
    """A socket with an engine behind it."""

    def __init__(self, users: tuple[User, ...] = (), bind: Address = LOOPBACK) -> None:
        self.endpoint = Endpoint(users)
        self.voice = Voice()
        self.events = Events()
        self.link = LinkSocket(bind, self.endpoint, self.voice, self.events)


@asynccontextmanager
async def running(*sides: Side) -> AsyncIterator[None]:
    async with trio.open_nursery() as nursery:
        for side in sides:
            nursery.start_soon(side.link.run)
        yield
        nursery.cancel_scope.cancel()
    for side in sides:
        side.link.close()


@contextmanager
def plain_socket(host: str = "127.0.0.1") -> Iterator[socket.socket]:
    """A socket that gets each datagram alone."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as plain:
        plain.bind((host, 0))
        plain.settimeout(WITHIN_S)
        yield plain


def pair() -> tuple[Side, Side]:
    """Return a side that calls and one that answers all calls."""
    near, far = Side(), Side((User("site", (SECRET,)),))

    def answer(event: Event, now: float) -> None:
        if isinstance(event, IncomingCall) and isinstance(event.call, CalleeCall):
            event.call.accept(Format.ULAW, now)
            event.call.answer(now)

    far.events.act = answer
    return near, far


def place(near: Side, address: Address) -> Call:
    profile = CallProfile("site", SECRET, "enc", (Format.ULAW,), ChallengeMemory(bytes))
    call = near.endpoint.place_call(profile, address, trio.current_time())
    near.link.drain()
    return call


async def all_acknowledged(call: Call) -> None:
    """Wait until what a call has sent is acknowledged, of which nothing is told."""
    with trio.fail_after(WITHIN_S):
        while call._channel.sequence.outstanding:  # noqa: ASYNC110
            await trio.sleep(0.005)


async def answered(near: Side, far: Side) -> Call:
    call = place(near, far.link.address)
    await near.events.came(CallAnswered)
    return call
