"""Trunks on a real pjsua2: registration and calls with a password, and a refusal."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from ipaddress import ip_network

import pytest
import trio

from bridge.iax2.auth import Address
from bridge.sip.agent import OnIncoming, SipAgent
from bridge.sip.leg import LegState, SipLeg
from bridge.sip.sdes import Srtp
from bridge.sip.sdp import LocalMedia
from bridge.sip.settings import SipError, SipSettings, TrunkSettings
from bridge.sip.trunks import TrunkState
from tests.driver.sip_phone import LOCAL, Connection, Desk, Phone, Recorder, phone_of, phone_sdp
from tests.lab.digest_client import proves
from tests.lab.nursery import open_lab_nursery
from tests.lab.trunk import PASSWORD, REALM, USER, Demand, open_trunk

WAIT_S = 5.0
NUMBER = "+4930123456"
SETTINGS = TrunkSettings("provider", USER, PASSWORD, REALM, "+15550100", expires_s=60)


def nobody(_leg: SipLeg) -> None:
    """No call comes in here."""


def offer(_host: str, _srtp: Srtp) -> LocalMedia:
    return LOCAL


@asynccontextmanager
async def agent_of(
    address: Address, settings: TrunkSettings = SETTINGS, on_incoming: OnIncoming = nobody
) -> AsyncIterator[SipAgent]:
    """An agent whose one trunk is at an address."""
    listen, allow = ("udp://127.0.0.1:0", "tcp://127.0.0.1:0"), (ip_network("127.0.0.0/8"),)
    agent = SipAgent(SipSettings(listen=listen, allow=allow, trunks=(settings,)), on_incoming)
    agent.trunks[0].move_to(address)
    async with open_lab_nursery() as nursery:
        await nursery.start(agent.run)
        yield agent
        agent.close()


async def until(what: Callable[[], bool]) -> None:
    with trio.fail_after(WAIT_S):
        while not what():  # noqa: ASYNC110 - the agent tells nobody
            await trio.sleep(0.01)


@pytest.mark.parametrize("algorithms", [("MD5",), ("SHA-256",), ("SHA-256", "MD5")])
async def test_it_registers_and_at_the_end_no_longer(algorithms: tuple[str, ...]) -> None:
    async with open_trunk(Demand(algorithms)) as trunk:
        async with agent_of(trunk.address) as agent:
            taken = await trunk.registers(1, WAIT_S)
            await until(lambda: agent.trunks[0].seen.state is TrunkState.REGISTERED)
            assert agent.trunks[0].seen.expires_at is not None
        released = await trunk.registers(2, WAIT_S)
    assert f"algorithm={algorithms[0]}" in taken.authorization
    assert (taken.expires_s, released.expires_s) == (60, 0)
    assert agent.trunks[0].seen.state is TrunkState.RELEASED
    register = trunk.requests[0]
    assert register.start_line == f"REGISTER sip:{REALM} SIP/2.0"
    assert f"sip:+15550100@{REALM}" in register.get("to")
    assert not register.get("route")


async def test_it_renews_before_the_end() -> None:
    async with open_trunk(Demand(grants_s=17)) as trunk, agent_of(trunk.address) as agent:
        first = await trunk.registers(1, WAIT_S)
        again = await trunk.registers(2, 10)
        assert again.at_s - first.at_s < 8
        assert agent.trunks[0].seen.state is TrunkState.REGISTERED


async def test_a_wrong_password_is_tried_no_more_at_once() -> None:
    wrong = replace(SETTINGS, password="another one")
    async with open_trunk() as trunk, agent_of(trunk.address, wrong) as agent:
        await until(lambda: agent.trunks[0].seen.state is TrunkState.REFUSED)
        await trio.sleep(1.0)
        assert trunk.refused == 1
        seen = agent.trunks[0].seen
        assert (seen.status, seen.tries_failed, seen.expires_at) == (403, 1, None)


@pytest.mark.parametrize("as_proxy", [False, True])
@pytest.mark.parametrize("algorithm", ["MD5", "SHA-256"])
async def test_a_call_shows_the_password(algorithm: str, *, as_proxy: bool) -> None:
    handler = Recorder()
    async with (
        open_trunk(Demand((algorithm,), as_proxy=as_proxy)) as trunk,
        agent_of(trunk.address) as agent,
    ):
        await until(lambda: agent.trunks[0].seen.state is TrunkState.REGISTERED)
        leg = agent.call_trunk(agent.trunks[0], NUMBER, handler, offer)
        assert leg.source == trunk.address
        with trio.fail_after(WAIT_S):
            call = await trunk.incoming.receive()
        assert (call.called_user, call.caller_user) == (NUMBER, "+15550100")
        assert agent.calls_on(agent.trunks[0]) == 1
        call.ring()
        await call.answer()
        with trio.fail_after(WAIT_S):
            await handler.answered.wait()
        assert leg.state is LegState.UP
        assert (await call.refer("sip:201@127.0.0.1")).status == 403
        await call.bye()
        assert agent.calls_on(agent.trunks[0]) == 0
    assert [status for status, *_ in handler.ends] == [200]


async def test_no_more_calls_than_it_may_have_but_urgent_ones() -> None:
    settings = replace(SETTINGS, registers=False, calls_max=1)
    handler = Recorder()
    async with open_trunk() as trunk, agent_of(trunk.address, settings) as agent:
        await until(lambda: agent.trunks[0].seen.state is TrunkState.ANSWERS)
        ours = agent.trunks[0]
        agent.call_trunk(ours, NUMBER, handler, offer)
        with pytest.raises(SipError, match="all the calls it may have") as raised:
            agent.call_trunk(ours, NUMBER, handler, offer)
        assert NUMBER not in str(raised.value)
        agent.call_trunk(ours, NUMBER, handler, offer, urgent=True)
        assert (agent.calls_on(ours), ours.calls) == (2, 2)
        assert not trunk.registered


async def test_a_trunk_without_an_address_takes_no_call() -> None:
    agent = SipAgent(SipSettings(listen=("udp://127.0.0.1:0",), trunks=(SETTINGS,)), nobody)
    async with open_lab_nursery() as nursery:
        await nursery.start(agent.run)
        with pytest.raises(SipError, match="address of trunk provider is not known"):
            agent.call_trunk(agent.trunks[0], NUMBER, Recorder(), offer)
        agent.close()


async def test_it_registers_over_tcp() -> None:
    settings = replace(SETTINGS, transport="tcp")
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    address = listener.socket.getsockname()[:2]
    challenge = (("www-authenticate", f'Digest realm="{REALM}", nonce="n", qop="auth"'),)
    async with listener, agent_of(address, settings) as agent:
        with trio.fail_after(WAIT_S):
            stream = await listener.accept()
        async with stream:
            server = Phone(Connection(stream), address, transport="TCP")
            await server.reply(await server.requested("REGISTER"), 401, headers=challenge)
            register = await server.requested("REGISTER")
            assert "SIP/2.0/TCP" in register.get("via")
            assert proves(register.get("authorization"), USER, REALM, PASSWORD, "REGISTER")
            await server.reply(register, 200, headers=(("expires", "60"),))
            await until(lambda: agent.trunks[0].seen.state is TrunkState.REGISTERED)


async def test_a_caller_who_asks_in_the_trunks_name_gets_no_proof_of_its_password() -> None:
    desk = Desk()
    async with (
        open_trunk() as trunk,
        agent_of(trunk.address, on_incoming=desk) as agent,
        phone_of(agent) as phone,
    ):
        await until(lambda: agent.trunks[0].seen.state is TrunkState.REGISTERED)
        phone.remote_party = f"<sip:+15550100@{REALM}>"
        await phone.request("INVITE", body=phone_sdp(), uri=f"sip:+15550100@{REALM}")
        while not desk.legs:
            await phone.receive()
        desk.leg.answer()
        await phone.response(200)
        await phone.request("ACK")
        await until(lambda: desk.leg.state is LegState.UP)
        await trio.sleep(0.1)
        desk.leg.end(200)
        bye = await phone.requested("BYE")
        challenge = (("www-authenticate", f'Digest realm="{REALM}", nonce="n", qop="auth"'),)
        await phone.reply(bye, 401, headers=challenge)
        with trio.move_on_after(0.5):
            while True:
                assert not (await phone.receive()).get("authorization")
