"""What we ask within a call goes where the phone's own messages come from, whatever its Contact."""

from pathlib import Path

import pytest
import trio

from bridge.sip.leg import SipLeg
from bridge.sip.settings import TlsFiles
from tests.driver.sip_phone import (
    CALLER,
    LOCAL,
    WAIT_S,
    Connection,
    Desk,
    Phone,
    Recorder,
    phone_connected,
    phone_of,
    phone_sdp,
    running,
)
from tests.lab.certificates import self_signed
from tests.lab.sip_message import SipMessage

NOBODY = f"sip:{CALLER}@127.0.0.1:9;transport={{}}"  # port 9: nobody listens
BEHIND_NAT = f"sip:{CALLER}@192.0.2.1:5062"
STREAMS = ("tcp", "tls")


class Answering(Desk):
    """Answers each call at once."""

    def __call__(self, leg: SipLeg) -> Recorder:
        leg.answer()
        return super().__call__(leg)


async def bye_of(desk: Desk, phone: Phone) -> SipMessage:
    """We hang up, and the phone has heard it."""
    desk.leg.end(200)
    bye = await phone.requested("BYE")
    await phone.reply(bye, 200)
    with trio.fail_after(WAIT_S):
        await desk.handler.ended.wait()
    return bye


async def heard(phone: Phone) -> None:
    """The agent has read all that this phone sent, and what others had sent before."""
    await phone.request("OPTIONS")
    await phone.response(200, "OPTIONS")


def place_of(phone: Phone) -> str:
    host, port = phone.socket.getsockname()[:2]
    return f"{host}:{port}"


def place_of_uri(message: SipMessage) -> str:
    return message.start_line.split()[1].partition("@")[2].partition(";")[0]


@pytest.mark.parametrize("transport", STREAMS)
async def test_a_phone_that_listens_nowhere_hears_by_its_connection(
    tmp_path: Path, transport: str
) -> None:
    desk, files = Answering(), TlsFiles(*self_signed(tmp_path))
    listen = ("udp://127.0.0.1:0", f"{transport}://127.0.0.1:0")
    async with (
        running(desk, listen=listen, tls=files) as agent,
        phone_connected(agent, files) as phone,
    ):
        phone.contact = NOBODY.format(transport)
        await phone.call()
        await phone.request("INVITE", body=phone_sdp("sendonly", version=2))
        await phone.response(200)
        await phone.request("ACK")
        bye = await bye_of(desk, phone)
        target = f"sip:{CALLER}@{place_of(phone)};transport={transport}"
        assert bye.start_line.split()[1].lower() == target


@pytest.mark.parametrize("host", ["127.0.0.2", "0.0.0.0"])
@pytest.mark.parametrize("transport", STREAMS)
async def test_a_phone_that_connected_is_told_the_address_that_it_reached(
    tmp_path: Path, transport: str, host: str
) -> None:
    """The kernel would answer from 127.0.0.1, where one of the two listens to nobody."""
    desk, files = Answering(), TlsFiles(*self_signed(tmp_path))
    listen = ("udp://127.0.0.1:0", f"{transport}://{host}:0")
    async with (
        running(desk, listen=listen, tls=files) as agent,
        phone_connected(agent, files, "127.0.0.2") as phone,
    ):
        accepted = await phone.call()
        port = agent.listening[1].rpartition(":")[2]
        target = f"<sip:bridge@127.0.0.2:{port};transport={transport}>"
        assert accepted.get("contact").lower() == target
        await phone.hang_up()


async def test_when_the_connection_is_gone_the_named_port_is_tried(tmp_path: Path) -> None:
    desk, files = Answering(), TlsFiles(*self_signed(tmp_path))
    listen = ("udp://127.0.0.1:0", "tcp://127.0.0.1:0")
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with running(desk, listen=listen, tls=files) as agent, listener:
        port = listener.socket.getsockname()[1]
        async with phone_connected(agent, files) as phone:
            phone.contact = f"sip:{CALLER}@192.0.2.1:{port};transport=tcp"
            await phone.call()
            await heard(phone)  # the ACK, too
        async with phone_of(agent) as other:
            await heard(other)  # after the end of the connection, which came before
        desk.leg.end(200)
        with trio.fail_after(WAIT_S):
            phone.socket = Connection(await listener.accept())
        async with phone.socket.stream:
            await phone.reply(await phone.requested("BYE"), 200)
            with trio.fail_after(WAIT_S):
                await desk.handler.ended.wait()


async def test_a_phone_behind_nat_hears_at_its_source() -> None:
    desk = Answering()
    async with running(desk) as agent, phone_of(agent) as phone:
        phone.contact = f"{BEHIND_NAT};maddr=192.0.2.2"
        await phone.call()
        phone.contact = BEHIND_NAT.replace("192.0.2.1", "192.0.2.3")
        await phone.request("INVITE", body=phone_sdp("sendonly", version=2))
        await phone.response(200)
        await phone.request("ACK")
        bye = await bye_of(desk, phone)
        assert bye.start_line.split()[1] == f"sip:{CALLER}@{place_of(phone)}"


async def test_a_phone_without_rport_keeps_the_port_that_it_names() -> None:
    desk = Answering()
    async with running(desk) as agent, phone_of(agent) as phone, phone_of(agent) as ear:
        phone.contact, phone.via_parameters = ear.uri, ""
        await phone.call()
        await bye_of(desk, ear)


async def test_behind_a_proxy_the_contact_stands() -> None:
    desk = Answering()
    async with running(desk) as agent, phone_of(agent) as proxy:
        proxy.contact = BEHIND_NAT
        route = ("Record-Route", f"<sip:{place_of(proxy)};lr>")
        await proxy.request("INVITE", body=phone_sdp(), headers=(route,))
        await proxy.response(200)
        await proxy.request("ACK")
        bye = await bye_of(desk, proxy)
        assert bye.start_line.split()[1] == BEHIND_NAT


async def test_a_proxy_that_steps_out_is_left_out() -> None:
    desk = Answering()
    async with running(desk) as agent, phone_of(agent) as proxy, phone_of(agent) as phone:
        proxy.contact = phone.uri
        second = ("Via", f"SIP/2.0/UDP {place_of(phone)};branch=z9hG4bK-second")
        await proxy.request("INVITE", body=phone_sdp(), headers=(second,))
        await proxy.response(200)
        await proxy.request("ACK")
        await bye_of(desk, phone)


async def test_a_called_phone_behind_nat_hears_the_ack_and_the_bye() -> None:
    desk = Desk()
    async with running(desk) as agent, phone_of(agent) as phone:
        phone.contact = BEHIND_NAT
        leg = agent.call(phone.uri, desk.handler, LOCAL, f"sip:{CALLER}@bridge.invalid")
        desk.legs.append(leg)
        invite = await phone.requested("INVITE")
        await phone.reply(invite, 180)
        await phone.reply(invite, 200, body=phone_sdp())
        await phone.requested("ACK")
        await phone.reply(invite, 200, body=phone_sdp())  # as if the ACK had been lost
        await phone.requested("ACK")
        bye = await bye_of(desk, phone)
        assert place_of_uri(bye) == place_of(phone)


async def test_an_answer_from_elsewhere_keeps_its_contact() -> None:
    desk = Desk()
    async with running(desk) as agent, phone_of(agent) as proxy, phone_of(agent) as phone:
        called = proxy.uri.replace("127.0.0.1", "localhost")
        desk.legs.append(agent.call(called, desk.handler, LOCAL, f"sip:{CALLER}@bridge.invalid"))
        invite = await proxy.requested("INVITE")
        proxy.contact = phone.uri
        await proxy.reply(invite, 200, body=phone_sdp())
        await phone.requested("ACK")
        await bye_of(desk, phone)


@pytest.mark.parametrize("elsewhere", ["127.0.0.9", "name.invalid"])
async def test_an_answer_goes_nowhere_but_to_who_asked(elsewhere: str) -> None:
    async with running(Desk(), allow=()) as agent, phone_of(agent) as stranger:
        stranger.via_parameters = f";maddr={elsewhere};rport"
        await stranger.request("OPTIONS")
        await stranger.response(403, "OPTIONS")
