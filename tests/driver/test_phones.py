"""Phones that register and call with passwords, over real sockets of all three kinds."""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import trio
from structlog.testing import capture_logs

from bridge.sip import penalties
from bridge.sip.agent import SipAgent
from bridge.sip.digest import Algorithm, ha1
from bridge.sip.leg import SipLeg
from bridge.sip.messages import host_port
from bridge.sip.phones import Phones, PhoneSettings
from bridge.sip.settings import SipSettings, TlsFiles
from tests.driver.sip_phone import (
    CALLED,
    WAIT_S,
    Desk,
    Phone,
    Recorder,
    connected,
    phone_of,
    phone_sdp,
)
from tests.lab.certificates import self_signed
from tests.lab.digest_client import authorization
from tests.lab.sip_message import SipMessage

PASSWORD = "correct horse battery"
TRANSPORTS = ("udp", "tcp", "tls")


@dataclass
class Answering(Desk):
    """Answers each call at once."""

    users: list[str] = field(default_factory=list)

    def __call__(self, leg: SipLeg) -> Recorder:
        self.users.append(leg.user)
        leg.answer()
        return super().__call__(leg)


def settings_in(folder: Path, *, keep_alive_s: float = 3600.0) -> PhoneSettings:
    return PhoneSettings(
        users=("alice", "bob"),
        realm="siax",
        algorithms=tuple(Algorithm),
        kept={
            (a, user): ha1(a, user, "siax", PASSWORD)
            for a in Algorithm
            for user in ("alice", "bob")
        },
        allow=(),
        state_dir=folder / "state",
        keep_alive_s=keep_alive_s,
    )


@asynccontextmanager
async def running(
    folder: Path,
    desk: Desk,
    transports: tuple[str, ...] = ("udp",),
    *,
    tls: TlsFiles | None = None,
    keep_alive_s: float = 3600.0,
) -> AsyncIterator[tuple[SipAgent, Phones]]:
    """An agent with its phones, as the app wires them."""
    phones = Phones(settings_in(folder, keep_alive_s=keep_alive_s))
    listen = tuple(f"{transport}://127.0.0.1:0" for transport in transports)
    settings = SipSettings(listen, (), max_calls=8, tls=tls)
    agent = SipAgent(settings, desk, phones.admission)
    async with trio.open_nursery() as nursery:
        await nursery.start(phones.run, agent)
        await nursery.start(agent.run)
        yield agent, phones
        agent.close()
        nursery.cancel_scope.cancel()


async def prove(phone: Phone, method: str, *, algorithm: int = 0, body: str = "") -> SipMessage:
    """Send, answer the challenge, and return the next response."""
    await phone.request(method, body=body)
    challenge = await phone.response(401, method)
    phone.remote_party = "<sip:alice@bridge.invalid>"
    if method == "INVITE":
        await phone.request("ACK", same_transaction=True)
    value = challenge.all("www-authenticate")[algorithm][1]
    uri = f"sip:{CALLED}@{phone.agent[0]}:{phone.agent[1]}"
    proof = ("Authorization", authorization(value, "alice", PASSWORD, method, uri))
    await phone.request(method, headers=(proof,), body=body)
    answer = await phone.receive()
    while answer.status == 100:
        answer = await phone.receive()
    return answer


async def register(phone: Phone, algorithm: int = 0) -> SipMessage:
    phone.remote_party = "<sip:alice@bridge.invalid>"
    return await prove(phone, "REGISTER", algorithm=algorithm)


@pytest.mark.parametrize("algorithm", [0, 1])
async def test_register_over_udp_and_be_found(tmp_path: Path, algorithm: int) -> None:
    async with running(tmp_path, Desk()) as (agent, phones), phone_of(agent) as phone:
        answer = await register(phone, algorithm=algorithm)
        assert answer.status == 200
        assert answer.get("contact").startswith(f"<{phone.uri}>;expires=3600")
        (contact,) = phones.contacts("alice")
        assert contact.target == phone.uri
        assert contact.source == phone.socket.getsockname()
        assert phones.contacts("bob") == ()
        assert (phones.owner(contact.target), phones.owner("sip:bob@127.0.0.1")) == ("alice", "")


async def test_a_stranger_gets_a_challenge_and_no_call(tmp_path: Path) -> None:
    desk = Desk()
    async with running(tmp_path, desk) as (agent, _), phone_of(agent) as phone:
        await phone.request("INVITE", body=phone_sdp())
        challenge = await phone.response(401)
        assert [value.split()[0] for _, value in challenge.all("www-authenticate")] == 2 * [
            "Digest"
        ]
        assert agent.counters.incoming == agent.active_calls == len(desk.legs) == 0


async def test_a_call_with_a_password_is_its_users(tmp_path: Path) -> None:
    desk = Answering()
    async with running(tmp_path, desk) as (agent, _), phone_of(agent) as phone:
        accepted = await prove(phone, "INVITE", body=phone_sdp())
        assert accepted.status == 200
        assert desk.users == ["alice"]
        assert desk.leg.transport == "udp"
        phone.remote_party = accepted.get("to")
        await phone.request("ACK")
        await phone.hang_up()


async def test_wrong_passwords_are_answered_late_and_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(penalties, "FIRST_WAIT_S", 0.2)
    async with running(tmp_path, Desk()) as (agent, _), phone_of(agent) as phone:
        took: list[float] = []
        for _ in range(penalties.FREE_FAILURES + 1):
            began = trio.current_time()
            sent = await fail_to_register(phone)
            if len(took) == penalties.FREE_FAILURES:
                await phone.socket.sendto(sent.encode(), phone.agent)  # a retransmission
            await phone.response(401, "REGISTER")
            took.append(trio.current_time() - began)
        assert took[-1] >= 0.2
        assert max(took[:-1]) < took[-1]
        phone.remote_party = "<sip:alice@bridge.invalid>"
        await phone.request("REGISTER")
        await phone.response(401, "REGISTER")
        with trio.move_on_after(0.3):
            pytest.fail(f"an answer to the retransmission: {await phone.receive()}")


async def fail_to_register(phone: Phone) -> SipMessage:
    """Answer a challenge with a wrong password; what was sent."""
    phone.remote_party = "<sip:alice@bridge.invalid>"
    await phone.request("REGISTER", uri="sip:x@y")
    challenge = (await phone.response(401, "REGISTER")).all("www-authenticate")[0][1]
    phone.remote_party = "<sip:alice@bridge.invalid>"
    proof = authorization(challenge, "alice", "wrong", "REGISTER", "sip:x@y")
    return await phone.request("REGISTER", uri="sip:x@y", headers=(("Authorization", proof),))


async def test_stopping_with_answers_that_wait(tmp_path: Path) -> None:
    async with running(tmp_path, Desk()) as (agent, phones), phone_of(agent) as phone:
        for _ in range(6):
            phones.admission._penalties.fail("127.0.0.1", trio.current_time())
        await phone.request(
            "REGISTER", headers=(("Authorization", 'Digest realm="siax", nonce="x"'),)
        )
        await trio.sleep(0.05)


async def test_registered_phones_are_known_after_a_restart(tmp_path: Path) -> None:
    async with running(tmp_path, Desk()) as (agent, _), phone_of(agent) as phone:
        await register(phone)
        uri = phone.uri
    async with running(tmp_path, Desk()) as (_, phones):
        assert [contact.target for contact in phones.contacts("alice")] == [uri]
        assert phones.registrar.knows_source("127.0.0.1")


async def test_phones_are_asked_soon_after_a_restart(tmp_path: Path) -> None:
    with trio.socket.socket(type=trio.socket.SOCK_DGRAM) as bound:
        await bound.bind(("127.0.0.1", 0))
        async with running(tmp_path, Desk()) as (agent, _):
            phone = Phone(bound, host_port(agent.listening[0].partition("//")[2]))
            await register(phone)
        async with running(tmp_path, Desk()):
            await phone.reply(await phone.requested("OPTIONS"), 200)


async def test_contacts_are_asked_whether_they_are_there(tmp_path: Path) -> None:
    async with (
        running(tmp_path, Desk(), keep_alive_s=0.1) as (agent, phones),
        phone_of(agent) as phone,
    ):
        await register(phone)
        asked = await phone.requested("OPTIONS")
        assert asked.start_line.split()[1] == phone.uri
        await phone.reply(asked, 503)
        again = await phone.requested("OPTIONS")
        assert not phones.contacts("alice")[0].is_reachable
        await phone.reply(again, 404)
        await phone.requested("OPTIONS")
        assert phones.contacts("alice")[0].is_reachable


REGISTER = (
    "REGISTER sip:127.0.0.1 SIP/2.0\r\n"
    "Via: SIP/2.0/{kind} 127.0.0.1:5;branch=z9hG4bK-{cseq};rport\r\n"
    "From: <sip:alice@127.0.0.1>;tag=1\r\nTo: <sip:alice@127.0.0.1>\r\nCall-ID: stream\r\n"
    "CSeq: {cseq} REGISTER\r\nContact: <sip:alice@127.0.0.1:5;transport={kind}>\r\n"
    "Max-Forwards: 70\r\n{proof}Content-Length: 0\r\n\r\n"
)


async def one_message(stream: trio.abc.ReceiveStream) -> SipMessage:
    received = b""
    with trio.fail_after(WAIT_S):
        while b"\r\n\r\n" not in received:
            received += await stream.receive_some()
    return SipMessage.parse(received)


@pytest.mark.parametrize("transport", ["tcp", "tls"])
async def test_a_phone_is_reached_by_the_connection_that_it_made(
    tmp_path: Path, transport: str
) -> None:
    files = TlsFiles(*self_signed(tmp_path))
    async with running(tmp_path, Desk(), ("udp", transport), tls=files, keep_alive_s=0.1) as parts:
        agent, phones = parts
        async with await connected(agent.listening[1], files) as stream:
            ask = REGISTER.format(kind=transport, cseq=1, proof="")
            await stream.send_all(ask.encode())
            challenge = (await one_message(stream)).all("www-authenticate")[0][1]
            proof = authorization(challenge, "alice", PASSWORD, "REGISTER", "sip:127.0.0.1")
            ask = REGISTER.format(kind=transport, cseq=2, proof=f"Authorization: {proof}\r\n")
            await stream.send_all(ask.encode())
            assert (await one_message(stream)).status == 200
            (contact,) = phones.contacts("alice")
            assert contact.transport == transport
            options = await one_message(stream)
            assert options.start_line.split()[:2] == ["OPTIONS", contact.target]


async def test_tls_before_1_2_and_clients_without_a_certificate_are_refused(
    tmp_path: Path,
) -> None:
    files = TlsFiles(*self_signed(tmp_path))
    strict = TlsFiles(files.certificate, files.key, client_ca=files.certificate)
    async with running(tmp_path, Desk(), ("udp", "tls"), tls=strict) as (agent, _):
        port = int(agent.listening[1].rpartition(":")[2])
        old = ssl.create_default_context(cafile=str(files.certificate))
        with pytest.warns(DeprecationWarning, match="TLSv1_1"):
            old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
        old.set_ciphers("DEFAULT:@SECLEVEL=0")
        bare = ssl.create_default_context(cafile=str(files.certificate))
        bare.maximum_version = ssl.TLSVersion.TLSv1_2
        known = ssl.create_default_context(cafile=str(files.certificate))
        known.load_cert_chain(files.certificate, files.key)
        for context, is_taken in ((old, False), (bare, False), (known, True)):
            plain = await trio.open_tcp_stream("127.0.0.1", port)
            stream = trio.SSLStream(plain, context, server_hostname="127.0.0.1")
            try:
                with trio.fail_after(WAIT_S):
                    await stream.do_handshake()
                done = True
            except trio.BrokenResourceError:
                done = False
            await trio.aclose_forcefully(stream)
            assert done is is_taken


async def test_nothing_of_a_phone_is_in_the_log(tmp_path: Path) -> None:
    with capture_logs() as entries:
        async with running(tmp_path, Desk()) as (agent, _), phone_of(agent) as phone:
            await register(phone)
            await phone.request("INVITE", body=phone_sdp())
            await phone.response(401)
    text = repr(entries)
    assert CALLED not in text
    assert "alice" not in text
    assert PASSWORD not in text
