"""The 49 messages of RFC 4475, over UDP and TCP: the bridge answers and a call keeps its audio."""

import re
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import pytest
import trio

from tests.lab.hostile_sip import SIP_PORT, Target, assert_audio, open_target
from tests.lab.results import is_full, record
from tests.lab.torture import message, names

ANSWERED_WITHIN_S: Final = 20.0
LISTENS_ON_S: Final = 0.3
PHONES: Final = {"phones": [{"user": "desk", "password": "a password of the desk phone"}]}

Got = dict[str, tuple[int, ...]]

ANSWERS: Final[Mapping[str, tuple[int, ...]]] = {
    "badaspec": (200,),  # the spaces within <> are passed over, as section 3.1.2.15 allows
    "badbranch": (200,),
    "baddate": (100, 404),  # an ill-formed Date is ignored, section 3.1.2.12
    "baddn": (200,),  # section 3.1.2.16 allows it
    "bext01": (420,),
    "clerr": (400,),
    "cparam01": (401,),
    "cparam02": (401,),
    "dblreq": (401,),
    "esc01": (100, 404),
    "esc02": (501,),
    "escnull": (401,),
    "escruri": (100, 404),  # what follows the "?" is ignored, section 3.1.2.11
    "intmeth": (501,),
    "inv2543": (400,),  # no Contact: RFC 3261 section 12.1.1 wants one
    "invut": (415,),
    "longreq": (100, 404),
    "lwsdisp": (200,),
    "lwsstart": (100, 404),  # section 3.1.2.9 allows it
    "mcl01": (400,),
    "mismatch01": (400,),
    "mismatch02": (400,),
    "mpart01": (405,),
    "multi01": (400,),
    "regescrt": (401,),
    "sdp01": (406,),
    "semiuri": (200,),
    "transports": (200,),
    "trws": (200,),  # section 3.1.2.10 allows it
    "unksm2": (401,),
    "wsinv": (481,),  # its To has a tag, and there is no such dialog
    "zeromf": (200,),
}
"""What each gets, in order. The rest get nothing: responses that nobody waits for, and requests
that PJSIP cannot parse, whose From, To or URI an answer would have to repeat."""

OVER_TCP: Final[Mapping[str, tuple[int, ...]]] = {
    "baddn": (),  # the RFC's octets have no empty line, so the message has not ended
    "clerr": (),  # the rest of its 9,999 octets may yet come
    "dblreq": (401, 400),  # two requests on one stream; "m =" is no line of SDP
    "inv2543": (),  # without Content-Length, which a stream needs (RFC 3261 section 18.3)
}


def rounds() -> list[list[str]]:
    """The messages, split so that no two INVITEs of a round have one branch.

    PJSIP tells transactions apart by the branch alone, and one lasts 32 s.
    """
    found: list[tuple[set[bytes], list[str]]] = []
    for name in names():
        text = message(name)
        branch = re.search(rb"branch\s*=\s*([^\s;]+)", text) if b"INVITE" in text else None
        key = branch[1] if branch else name.encode()
        free = next((one for one in found if key not in one[0]), None)
        if free is None:
            found.append(free := (set(), []))
        free[0].add(key)
        free[1].append(name)
    return [one for _, one in found]


def test_all_49_are_sent() -> None:
    assert sorted(name for one in rounds() for name in one) == names()
    assert len(names()) == 49


@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_torture(tmp_path: Path, transport: str) -> None:
    """Small: the messages that one bridge can take at once; full: all 49."""
    for number, one in enumerate(rounds() if is_full() else rounds()[:1]):
        folder = tmp_path / str(number)
        folder.mkdir()
        async with open_target(folder, PHONES, "debug") as target:
            call = await target.talk()
            special = OVER_TCP if transport == "tcp" else {}
            expected = {name: special.get(name, ANSWERS.get(name, ())) for name in one}
            got: Got = dict.fromkeys(one, ())
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_over_udp if transport == "udp" else _over_tcp, target, got)
                with trio.move_on_after(ANSWERED_WITHIN_S):
                    while got != expected:  # noqa: ASYNC110 # tests need no events
                        await trio.sleep(0.02)
                await trio.sleep(LISTENS_ON_S)
                nursery.cancel_scope.cancel()
            assert got == expected
            await target.assert_alive()
            echo = await target.hang_up(call)
            await (await target.talk()).bye()
        assert_audio(echo)
        figures = {"transport": transport, "messages": len(one), **echo.figures()}
        record("messages of RFC 4475", figures)


async def _over_udp(target: Target, got: Got) -> None:
    """Without rport, answers go to the port of the Via at the address that it came from."""
    with _bound(target.host(3), SIP_PORT) as usual, _bound(target.host(3), 5050) as other:
        for name in got:
            await usual.sendto(message(name), target.address)
        async with trio.open_nursery() as nursery:
            for ear in (usual, other):
                nursery.start_soon(_listen, ear, got)


async def _listen(ear: trio.socket.SocketType, got: Got) -> None:
    while True:
        answer = await ear.recv(65535)
        (name,) = [name for name in got if _call_id(message(name)) == _call_id(answer)]
        _note(answer, name, got)


async def _over_tcp(target: Target, got: Got) -> None:
    async def send(name: str) -> None:
        stream = await trio.open_tcp_stream(*target.address)
        async with stream:
            await stream.send_all(message(name))
            async for octets in stream:
                _note(bytes(octets), name, got)

    async with trio.open_nursery() as nursery:
        for name in got:
            nursery.start_soon(send, name)


def _note(octets: bytes, name: str, got: Got) -> None:
    """Notes each status once: an INVITE's is repeated until an ACK comes."""
    for status in map(int, re.findall(rb"^SIP/2\.0 (\d{3}) ", octets, re.MULTILINE)):
        if status not in got[name]:
            got[name] += (status,)


def _call_id(text: bytes) -> bytes | None:
    found = re.search(rb"^(?:call-id|i)\s*:\s*(\S+)", text, re.MULTILINE | re.IGNORECASE)
    return found[1] if found else None


def _bound(host: str, port: int) -> trio.socket.SocketType:
    raw = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    raw.bind((host, port))
    return trio.socket.from_stdlib_socket(raw)
