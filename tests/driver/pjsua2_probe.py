"""Drives the wheel of pjsua2 over loopback and prints what it saw as JSON.

A process of its own, since PJSIP exists once in each process.
"""

import json
import random
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pjsua2 as pj

FLOOD_REQUESTS = 2000
HOSTILE_MESSAGES = 1500
POLLS = 40


class Door(pj.SipModule):  # type: ignore[misc]  # pjsua2 carries no types
    """Counts the requests that reach Python, and answers as it is told."""

    def __init__(self) -> None:
        super().__init__("probe")
        self.requests: list[dict[str, Any]] = []
        self.answer: Callable[[pj.OnRxRequestParam], bool] = stateless_ok

    def onRxRequest(self, prm: pj.OnRxRequestParam) -> bool:  # noqa: N802  # PJSIP's name
        self.requests.append(
            {
                "method": prm.method,
                "transport": prm.transport,
                "local": prm.localAddress,
                "source": prm.rdata.srcAddress,
                "message": prm.rdata.wholeMsg,
            }
        )
        return self.answer(prm)


def stateless_ok(prm: "pj.OnRxRequestParam") -> bool:
    prm.code, prm.stateful = 200, False
    return True


def stateful_ok(prm: "pj.OnRxRequestParam") -> bool:
    prm.code = 200
    return True


def annotated(prm: "pj.OnRxRequestParam") -> bool:
    prm.code, prm.reason, prm.stateful = 299, "Seen", False
    prm.headers.append(header("X-Probe", "yes"))
    prm.contentType, prm.body = "text/plain", "body"
    return True


def injected(prm: "pj.OnRxRequestParam") -> bool:
    prm.code = 200
    prm.headers.append(header("X-Probe", "yes\r\nX-Injected: yes"))
    return True


def untyped_body(prm: "pj.OnRxRequestParam") -> bool:
    prm.code, prm.contentType, prm.body = 200, "text", "body"
    return True


def failing(_prm: "pj.OnRxRequestParam") -> bool:
    raise ValueError


def swallowed(_prm: "pj.OnRxRequestParam") -> bool:
    return True


def header(name: str, value: str) -> "pj.SipHeader":
    made = pj.SipHeader()
    made.hName, made.hValue = name, value
    return made


class Phone:
    """A UDP socket that says what it likes, and the polling of PJSIP between."""

    def __init__(self, endpoint: "pj.Endpoint", server: tuple[str, int]) -> None:
        self.endpoint, self.server = endpoint, server
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.setblocking(False)  # noqa: FBT003  # the standard library's own

    def request(self, branch: str) -> bytes:
        host, port = self.socket.getsockname()
        return (
            f"OPTIONS sip:probe@127.0.0.1:{self.server[1]} SIP/2.0\r\n"
            f"Via: SIP/2.0/UDP {host}:{port};rport;branch=z9hG4bK{branch}\r\n"
            "Max-Forwards: 70\r\nFrom: <sip:phone@example.net>;tag=1\r\n"
            f"To: <sip:probe@example.net>\r\nCall-ID: {branch}\r\nCSeq: 1 OPTIONS\r\n"
            "Content-Length: 0\r\n\r\n"
        ).encode()

    def ask(self, *messages: bytes) -> list[str]:
        """Sends some messages, lets PJSIP take them, and returns the answers."""
        for message in messages:
            self.socket.sendto(message, self.server)
        for _ in range(POLLS):
            self.endpoint.libHandleEvents(0)
        answers = []
        while True:
            try:
                answers.append(self.socket.recv(65535).decode(errors="replace"))
            except BlockingIOError:
                return answers


@contextmanager
def open_library() -> Iterator["pj.Endpoint"]:
    endpoint = pj.Endpoint()
    endpoint.libCreate()
    config = pj.EpConfig()
    config.uaConfig.threadCnt, config.uaConfig.mainThreadOnly = 0, True
    config.uaConfig.maxCalls = 4
    config.medConfig.hasIoqueue, config.medConfig.threadCnt = False, 0
    config.logConfig.level = config.logConfig.consoleLevel = 0
    endpoint.libInit(config)
    try:
        yield endpoint
    finally:
        endpoint.libDestroy()


def listen(endpoint: "pj.Endpoint") -> tuple[str, int]:
    config = pj.TransportConfig()
    config.boundAddress = "127.0.0.1"
    transport = endpoint.transportCreate(pj.PJSIP_TRANSPORT_UDP, config)
    endpoint.libStart()
    host, _, port = endpoint.transportGetInfo(transport).localName.rpartition(":")
    return host, int(port)


def epoll_descriptors() -> int:
    links = [link for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]
    return sum("eventpoll" in str(link.readlink()) for link in links)


def build_limits() -> dict[str, object]:
    limits = pj.BuildLimits.get()
    names = (
        "ioqueue ioqueueHandles transactions dialogs transports networkEventsPerPoll"
        " packetOctets urlOctets udpBufferOctets calls accounts"
    )
    return {name: getattr(limits, name) for name in names.split()}


def codecs(endpoint: "pj.Endpoint") -> list[str]:
    pj.DummyCodecs.add("opus", 96, 48000, 2)
    pj.DummyCodecs.add("opus", 96, 48000, 2)
    pj.DummyCodecs.install()
    return [codec.codecId for codec in endpoint.codecEnum2()]


def answers(door: Door, phone: Phone) -> dict[str, list[str]]:
    seen = {}
    for answer in (annotated, injected, untyped_body, failing, swallowed):
        door.answer = answer
        seen[answer.__name__] = phone.ask(phone.request(answer.__name__))
    return seen


def retransmissions(door: Door, phone: Phone) -> dict[str, int]:
    seen = {}
    for answer in (stateless_ok, stateful_ok):
        door.answer, before = answer, len(door.requests)
        request = phone.request(f"again-{answer.__name__}")
        phone.ask(request)
        phone.ask(request)
        seen[answer.__name__] = len(door.requests) - before
    return seen


def flood(door: Door, phone: Phone) -> dict[str, int]:
    """From a source that has asked nothing yet: the probe's other requests are exempt."""
    door.clearExempt()
    door.answer, before = stateless_ok, len(door.requests)
    replies = 0
    for start in range(0, FLOOD_REQUESTS, 100):
        batch = [phone.request(f"flood-{start + i}") for i in range(100)]
        replies += len(phone.ask(*batch))
    counters = door.counters()
    return {
        "reached_python": len(door.requests) - before,
        "replies": replies,
        "admitted": counters.admitted,
        "dropped": counters.droppedBySource + counters.droppedByTotal,
        "sources": counters.sources,
    }


def mutate(message: bytes, chance: random.Random) -> bytes:
    octets = bytearray(message)
    for _ in range(chance.randint(1, 4)):
        place = chance.randrange(len(octets))
        match chance.randrange(4):
            case 0:
                octets[place] = chance.randrange(256)
            case 1:
                del octets[place : place + chance.randint(1, 30)]
            case 2:
                octets[place:place] = chance.randbytes(chance.randint(1, 30))
            case _:
                octets[place:place] = octets[place : place + chance.randint(1, 300)]
        octets = octets or bytearray(b" ")
    return bytes(octets)


def hostile(door: Door, phone: Phone) -> dict[str, int]:
    """Garbled requests, answered statefully so that PJSIP copies what it can of them."""
    chance, before = random.Random(5456), len(door.requests)
    door.answer = stateful_ok
    for number in range(0, HOSTILE_MESSAGES, 50):
        phone.ask(*(mutate(phone.request(f"{number}-{i}"), chance) for i in range(50)))
    reached = len(door.requests) - before
    return {"reached_python": reached, "alive": len(phone.ask(phone.request("alive")))}


def probe() -> dict[str, object]:
    with open_library() as endpoint:
        door = Door()
        phone = Phone(endpoint, listen(endpoint))
        door.registerModule()
        door.exempt("127.0.0.0/8")
        try:
            return {
                "limits": build_limits(),
                "epoll_descriptors": epoll_descriptors(),
                "codecs": codecs(endpoint),
                "phone": phone.socket.getsockname(),
                "server": phone.server,
                "first_answer": phone.ask(phone.request("first")),
                "first_request": door.requests[0],
                "answers": answers(door, phone),
                "failures": door.failures(),
                "retransmissions": retransmissions(door, phone),
                "hostile": hostile(door, phone),
                "flood": flood(door, phone),
                "timer_ms": pj.SipModule.msecToNextTimer(),
            }
        finally:
            door.unregisterModule()


if __name__ == "__main__":
    sys.unraisablehook = lambda _: None  # a failing callback is part of the probe
    json.dump(probe(), sys.stdout)
