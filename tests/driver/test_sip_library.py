"""How pjsua2 is driven, and which of its callbacks come up."""

import select
import socket
from collections.abc import Callable

import pjsua2 as pj
import pytest
import trio

from bridge.sip.admission import Answer, SipRequest
from bridge.sip.call import PjCall
from bridge.sip.door import Door
from bridge.sip.library import Library
from bridge.sip.messages import host_port
from bridge.sip.settings import SipSettings, parse_listen_url
from tests.driver.sip_phone import LOCAL, Answering, Desk, Recorder, phone_of, phone_sdp, running


def is_readable(library: Library) -> bool:
    ready, _, _ = select.select([library.fileno()], [], [], 0.1)
    return bool(ready)


async def test_a_packet_that_was_handled_with_a_timer_delays_no_other() -> None:
    settings = SipSettings(("udp://127.0.0.1:0",), ())
    library = Library(settings, [parse_listen_url(url) for url in settings.listen])
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as phone:
            phone.connect(host_port(library.listening[0].partition("//")[2]))
            phone.send(b"\r\n\r\n")
            assert is_readable(library)
            library.handle_due(trio.current_time())
            library.handle_readable(trio.current_time())
            phone.send(b"\r\n\r\n")
            assert is_readable(library)
    finally:
        library.destroy()


BURST = 100
OPTIONS = (
    "OPTIONS sip:bridge@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1;rport;branch=z9hG4bK{0}\r\n"
    "Max-Forwards: 70\r\nFrom: <sip:phone@localhost>;tag=1\r\nTo: <sip:bridge@localhost>\r\n"
    "Call-ID: {0}\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
)


async def test_a_burst_of_packets_is_handled_in_parts_and_audio_has_its_turn_between() -> None:
    settings = SipSettings(("udp://127.0.0.1:0",), ())
    library = Library(settings, [parse_listen_url(url) for url in settings.listen])
    handled: list[SipRequest] = []

    def decide(request: SipRequest) -> Answer:
        handled.append(request)
        return Answer(404)

    door = Door(decide, lambda _call, _request: None)
    parts = []
    try:
        door.exempt("127.0.0.0/8")
        door.registerModule()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as phone:
            phone.connect(host_port(library.listening[0].partition("//")[2]))
            for number in range(BURST):
                phone.send(OPTIONS.format(number).encode())
            while len(handled) < BURST and is_readable(library):
                before = len(handled)
                library.handle_readable(trio.current_time())
                parts.append(len(handled) - before)
    finally:
        library.destroy()
        door.unregisterModule()
    assert sum(parts) == BURST
    assert max(parts) <= pj.BuildLimits.get().networkEventsPerPoll < BURST / 2


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The callbacks that come up about calls: states by name, of others the callback's."""
    names: list[str] = []

    def noting(name: str, callback: Callable[[PjCall, object], None]) -> Callable[..., None]:
        def note(call: PjCall, prm: object) -> None:
            names.append(call.getInfo().stateText if name == "State" else name)
            callback(call, prm)

        return note

    for name in ("State", "TsxState", "MediaState", "RxOffer", "SdpCreated"):
        callback = f"onCall{name}"
        monkeypatch.setattr(PjCall, callback, noting(name, getattr(PjCall, callback)))
    return names


async def test_a_call_that_comes_in_tells_offers_and_when_it_is_up_and_over(
    told: list[str],
) -> None:
    async with running(Answering()) as agent, phone_of(agent) as phone:
        await phone.call()
        await phone.call(phone_sdp("sendonly", version=2))
        await phone.hang_up()
    assert told == ["SdpCreated", "CONFIRMED", "RxOffer", "SdpCreated", "DISCONNECTED"]


async def test_a_call_without_an_offer_tells_the_answer_too(told: list[str]) -> None:
    async with running(Answering()) as agent, phone_of(agent) as phone:
        await phone.request("INVITE")
        await phone.response(200)
        await phone.request("ACK", body=phone_sdp())
        await phone.hang_up()
    assert told == ["SdpCreated", "MediaState", "CONFIRMED", "DISCONNECTED"]


async def test_a_call_that_goes_out_tells_each_state_and_the_answer_once(told: list[str]) -> None:
    async with running(Desk()) as agent, phone_of(agent) as phone:
        agent.call(phone.uri, Recorder(), LOCAL)
        invite = await phone.requested("INVITE")
        await phone.reply(invite, 180)
        await phone.reply(invite, 200, body=phone_sdp())
        await phone.requested("ACK")
        await phone.hang_up()
    assert told == [
        *("SdpCreated", "CALLING", "EARLY", "CONNECTING", "MediaState", "CONFIRMED", "TsxState"),
        "DISCONNECTED",
    ]
