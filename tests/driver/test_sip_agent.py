"""The agent's life, its door, and that nothing of a caller shows."""

import socket
from collections.abc import Callable

import pjsua2 as pj
import pytest
import structlog
import trio
from structlog.testing import capture_logs

from bridge.sip.admission import Admitted, Answer, SipRequest
from bridge.sip.agent import SHUTDOWN_S, SipAgent
from bridge.sip.leg import SipLeg
from bridge.sip.sdp import AudioDescription, LocalMedia
from bridge.sip.settings import SipError, SipSettings
from tests.driver.sip_phone import (
    CALLED,
    CALLER,
    WAIT_S,
    Desk,
    Phone,
    Recorder,
    phone_of,
    phone_sdp,
    running,
)


def assert_nothing_shows(entries: list[structlog.typing.EventDict]) -> None:
    text = repr(entries)
    assert CALLED not in text
    assert CALLER not in text


@pytest.mark.parametrize(
    ("method", "status"),
    [("OPTIONS", 200), ("REGISTER", 405), ("MESSAGE", 405), ("BYE", 481), ("JUGGLE", 501)],
)
async def test_requests_outside_a_dialog(method: str, status: int) -> None:
    async with running(Desk()) as agent, phone_of(agent) as phone:
        await phone.request(method)
        answer = await phone.response(status, method)
        if status in {200, 405}:
            assert "INVITE" in answer.get("allow")


@pytest.mark.parametrize("method", ["INVITE", "OPTIONS", "REGISTER"])
async def test_strangers_are_refused_before_a_call_exists(method: str) -> None:
    desk = Desk()
    with capture_logs() as entries:
        async with running(desk, allow=("192.0.2.0/24",)) as agent, phone_of(agent) as phone:
            for _ in range(3):
                await phone.request(method, body=phone_sdp())
                await phone.response(403, method)
                phone.begin_anew()
            assert agent.counters.refused_requests == 3
            assert agent.counters.incoming == agent.active_calls == len(desk.legs) == 0
    assert entries == [
        {"event": "request refused", "source": "127.0.0.1", "refused": 1, "log_level": "warning"}
    ]


async def test_admission_is_the_users_own() -> None:
    seen: list[SipRequest] = []

    def challenge(request: SipRequest) -> Answer:
        seen.append(request)
        return Answer(401, headers=(("WWW-Authenticate", 'Digest realm="x", nonce="y"'),))

    async with running(Desk(), admission=challenge) as agent, phone_of(agent) as phone:
        await phone.request("INVITE", body=phone_sdp())
        answer = await phone.response(401)
        assert answer.get("www-authenticate") == 'Digest realm="x", nonce="y"'
        (request,) = seen
        assert (request.method, request.transport) == ("INVITE", "UDP")
        assert request.source == phone.socket.getsockname()
        assert request.local == phone.agent
        assert CALLED in request.message
        assert CALLED not in repr(request)


async def test_failing_admission_is_an_error_of_ours() -> None:
    def fail(request: SipRequest) -> Answer:
        raise ValueError(request.message)

    with capture_logs() as entries:
        async with running(Desk(), admission=fail) as agent, phone_of(agent) as phone:
            await phone.request("INVITE", body=phone_sdp())
            await phone.response(500)
    assert_nothing_shows(entries)
    (entry,) = entries
    assert entry["error"] == "ValueError"
    assert entry["at"].startswith("test_sip_agent.py:")


def fail_on_incoming(leg: SipLeg) -> Recorder:
    raise ValueError(leg.called)


class FailingOnMedia(Recorder):
    def on_media(self, leg: SipLeg, remote: AudioDescription | None) -> LocalMedia:  # noqa: ARG002
        raise ValueError(leg.called)


@pytest.mark.parametrize("on_incoming", [fail_on_incoming, lambda _leg: FailingOnMedia()])
async def test_failing_handler_ends_its_call_alone(
    on_incoming: Callable[[SipLeg], Recorder],
) -> None:
    with capture_logs() as entries:
        async with running(on_incoming) as agent, phone_of(agent) as phone:
            await phone.request("INVITE", body=phone_sdp())
            await phone.response(500)
            await phone.request("ACK", same_transaction=True)
            phone.begin_anew()
            await phone.request("OPTIONS")
            await phone.response(200, "OPTIONS")
            assert agent.active_calls == 0
    assert_nothing_shows(entries)
    assert any(entry["event"] == "callback failed" for entry in entries)


async def test_failing_handler_in_a_call_hangs_up() -> None:
    class Failing(Recorder):
        def on_answered(self, leg: SipLeg) -> None:
            raise ValueError(leg.called)

    def take(leg: SipLeg) -> Recorder:
        leg.answer()
        return Failing()

    with capture_logs() as entries:
        async with running(take) as agent, phone_of(agent) as phone:
            await phone.call()
            bye = await phone.requested("BYE")
            await phone.reply(bye, 200)
    assert_nothing_shows(entries)


async def test_failing_handler_in_a_hold_hangs_up() -> None:
    class Failing(Recorder):
        def on_media(self, leg: SipLeg, remote: AudioDescription | None) -> LocalMedia:
            if self.remotes:
                raise ValueError(leg.called)
            return super().on_media(leg, remote)

    handler = Failing()

    def take(leg: SipLeg) -> Recorder:
        leg.answer()
        return handler

    with capture_logs() as entries:
        async with running(take) as agent, phone_of(agent) as phone:
            await phone.call()
            await phone.request("INVITE", body=phone_sdp("sendonly", version=2))
            messages = [await phone.receive() for _ in range(2)]
            assert 488 in [message.status for message in messages]
            (bye,) = [message for message in messages if not message.status]
            await phone.request("ACK", same_transaction=True)
            await phone.reply(bye, 200)
            assert len(handler.ends) == 1
    assert_nothing_shows(entries)


async def test_more_calls_than_allowed() -> None:
    desk = Desk()
    async with (
        running(desk, max_calls=1) as agent,
        phone_of(agent) as first,
        phone_of(agent) as second,
    ):
        await first.request("INVITE", body=phone_sdp())
        assert (await first.receive()).status == 100
        with pytest.raises(SipError, match="all the calls"):
            agent.call(second.uri, Recorder(), Recorder().local)
        await second.request("INVITE", body=phone_sdp())
        assert (await second.response(503)).get("retry-after") == "5"
        desk.leg.end(486)
        await first.response(486)
        await first.request("ACK", same_transaction=True)


async def test_overload_refuses_and_keeps() -> None:
    desk = Desk()
    overloaded = False
    async with (
        running(desk, is_overloaded=lambda: overloaded) as agent,
        phone_of(agent) as first,
        phone_of(agent) as second,
    ):
        await first.request("INVITE", body=phone_sdp())
        assert (await first.receive()).status == 100
        overloaded = True
        await second.request("INVITE", body=phone_sdp())
        assert (await second.response(503)).get("retry-after") == "5"
        second.begin_anew()
        await second.request("OPTIONS")
        await second.response(200, "OPTIONS")
        assert len(desk.legs) == agent.active_calls == 1
        desk.leg.answer()
        await first.response(200)
        await first.request("ACK")
        await first.request("BYE")
        await first.response(200, "BYE")
        overloaded = False
        second.begin_anew()
        await second.request("INVITE", body=phone_sdp())
        assert (await second.receive()).status == 100
        desk.legs[1].end(486)
        await second.response(486)
        await second.request("ACK", same_transaction=True)


async def test_overload_lets_an_urgent_call_through() -> None:
    desk = Desk()
    async with (
        running(desk, is_overloaded=lambda: True, urgent=CALLED) as agent,
        phone_of(agent) as phone,
    ):
        await phone.request("INVITE", body=phone_sdp())
        assert (await phone.receive()).status == 100
        desk.leg.end(486)
        await phone.response(486)
        await phone.request("ACK", same_transaction=True)


async def test_closing_ends_every_call() -> None:
    rung, talking = Recorder(), Recorder()

    def take(leg: SipLeg) -> Recorder:
        if agent.active_calls == 1:
            leg.answer()
            return talking
        leg.ringing()
        return rung

    async with running(take) as agent, phone_of(agent) as up, phone_of(agent) as ringing:
        await up.call()
        await ringing.request("INVITE", body=phone_sdp())
        await ringing.response(180)
        outgoing = Recorder()
        async with phone_of(agent) as callee, trio.open_nursery() as nursery:
            agent.call(callee.uri, outgoing, Recorder().local)
            invite = await callee.requested("INVITE")
            await callee.reply(invite, 180)
            await trio.sleep(0.02)
            began = trio.current_time()
            agent.close()
            nursery.start_soon(take_bye, up)
            nursery.start_soon(take_refusal, ringing)
            await callee.reply(await callee.requested("CANCEL"), 200)
            await callee.reply(invite, 487)
            await callee.requested("ACK")
    assert trio.current_time() - began < SHUTDOWN_S
    assert [status for status, *_ in rung.ends] == [503]
    assert len(talking.ends) == len(outgoing.ends) == 1


async def take_bye(phone: Phone) -> None:
    await phone.reply(await phone.requested("BYE"), 200)


async def take_refusal(phone: Phone) -> None:
    await phone.response(503)
    await phone.request("ACK", same_transaction=True)


async def test_cancelled_agent_says_goodbye() -> None:
    desk = Desk()

    def take(leg: SipLeg) -> Recorder:
        leg.answer()
        return desk(leg)

    settings = SipSettings(("udp://127.0.0.1:0",), max_calls=4)
    agent = SipAgent(settings, take, admission=lambda _request: Admitted())
    async with trio.open_nursery() as phones:
        async with trio.open_nursery() as nursery:
            await nursery.start(agent.run)
            phone = await phones.start(answer_one_bye, agent)
            await phone.call()
            nursery.cancel_scope.cancel()
        assert len(desk.handler.ends) == 1


async def answer_one_bye(
    agent: SipAgent, task_status: trio.TaskStatus[Phone] = trio.TASK_STATUS_IGNORED
) -> None:
    async with phone_of(agent) as phone:
        task_status.started(phone)
        await desk_is_closed(phone)


async def desk_is_closed(phone: Phone) -> None:
    await trio.sleep(0.05)
    await take_bye(phone)


@pytest.mark.parametrize(
    ("transport", "kind"), [("udp", socket.SOCK_DGRAM), ("tcp", socket.SOCK_STREAM)]
)
async def test_port_in_use(transport: str, kind: socket.SocketKind) -> None:
    with socket.socket(socket.AF_INET, kind) as taken:
        taken.bind(("127.0.0.1", 0))
        if kind == socket.SOCK_STREAM:
            taken.listen()
        url = f"{transport}://127.0.0.1:{taken.getsockname()[1]}"
        agent = SipAgent(SipSettings((url,), max_calls=4), Desk())
        with pytest.raises(SipError, match=f"{url}: Address already in use"):
            await agent.run()


async def test_one_agent_for_each_process() -> None:
    async with running(Desk()):
        second = SipAgent(SipSettings(("udp://127.0.0.1:0",), max_calls=4), Desk())
        with pytest.raises(SipError, match="one SIP agent"):
            await second.run()


async def test_tcp() -> None:
    async with running(Desk(), listen=("udp://127.0.0.1:0", "tcp://127.0.0.1:0")) as agent:
        _, _, port = agent.listening[1].rpartition(":")
        stream = await trio.open_tcp_stream("127.0.0.1", int(port))
        async with stream:
            await stream.send_all(
                b"OPTIONS sip:bridge@127.0.0.1 SIP/2.0\r\n"
                b"Via: SIP/2.0/TCP 127.0.0.1:5;branch=z9hG4bK-tcp;rport\r\n"
                b"From: <sip:a@a.invalid>;tag=1\r\nTo: <sip:b@b.invalid>\r\nCall-ID: tcp\r\n"
                b"CSeq: 1 OPTIONS\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
            )
            with trio.fail_after(2):
                answer = await stream.receive_some()
        assert answer.startswith(b"SIP/2.0 200 ")


TCP_REQUEST = (
    "{method} sip:bridge@127.0.0.1 SIP/2.0\r\n"
    "Via: SIP/2.0/TCP 127.0.0.1:5;branch=z9hG4bK-tcp-{cseq}-{method}\r\n"
    "From: <sip:a@a.invalid>;tag=1\r\nTo: <sip:b@b.invalid>{tag}\r\nCall-ID: tcp\r\n"
    "CSeq: {cseq} {method}\r\nContact: <sip:a@127.0.0.1:5;transport=tcp>\r\n"
    "Max-Forwards: 70\r\nContent-Type: application/sdp\r\n"
    "Content-Length: {length}\r\n\r\n{body}"
)


async def call_over_tcp(stream: trio.SocketStream) -> None:
    """A whole call, up to its BYE."""
    offer = phone_sdp()
    tag = ""
    for method, cseq, body in (("INVITE", 1, offer), ("ACK", 1, ""), ("BYE", 2, "")):
        request = TCP_REQUEST.format(method=method, cseq=cseq, tag=tag, length=len(body), body=body)
        await stream.send_all(request.encode())
        answer = ""
        while method == "INVITE" and "SIP/2.0 200 " not in answer:
            answer += (await stream.receive_some()).decode()
        if answer:
            tag = ";tag=" + answer.rpartition(";tag=")[2].partition("\r\n")[0]


async def test_connection_reset_by_our_last_answer_keeps_nobody_busy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    passes = 0
    handle_events = pj.Endpoint.libHandleEvents

    def counted(endpoint: pj.Endpoint, timeout_ms: int) -> int:
        nonlocal passes
        passes += 1
        return int(handle_events(endpoint, timeout_ms))

    def take(leg: SipLeg) -> Recorder:
        leg.answer()
        return Recorder()

    monkeypatch.setattr(pj.Endpoint, "libHandleEvents", counted)
    async with running(take, listen=("tcp://127.0.0.1:0",)) as agent:
        _, _, port = agent.listening[0].rpartition(":")
        with trio.fail_after(WAIT_S):
            async with await trio.open_tcp_stream("127.0.0.1", int(port)) as stream:
                await call_over_tcp(stream)
        await trio.sleep(0.05)
        passes = 0
        await trio.sleep(0.2)
        assert passes < 50


async def test_garbage_is_passed_over() -> None:
    async with running(Desk()) as agent, phone_of(agent) as phone:
        for datagram in (
            b"",
            b"\r\n\r\n",
            b"\x00" * 500,
            b"INVITE",
            b"INVITE sip:x SIP/2.0\r\n\r\n",
        ):
            await phone.socket.sendto(datagram, phone.agent)
        await phone.request("OPTIONS")
        await phone.response(200, "OPTIONS")
