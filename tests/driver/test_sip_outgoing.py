"""Outgoing calls on a real pjsua2, with a phone that does what each test dictates."""

import pytest
import trio

from bridge.sip.agent import SipAgent
from bridge.sip.leg import LegState, SipLeg
from bridge.sip.sdp import Direction
from bridge.sip.settings import SipError
from tests.driver.sip_phone import (
    CALLED,
    CALLER,
    LOCAL,
    Phone,
    Recorder,
    phone_of,
    phone_sdp,
    running,
)
from tests.lab.sip_message import Media, SipMessage


def nobody(_leg: SipLeg) -> None:
    """No call comes in here."""


async def place(agent: SipAgent, phone: Phone, handler: Recorder) -> tuple[SipLeg, SipMessage]:
    leg = agent.call(phone.uri, handler, LOCAL, f"sip:{CALLER}@bridge.invalid")
    return leg, await phone.requested("INVITE")


async def test_early_media_answer_and_we_hang_up() -> None:
    handler = Recorder()
    async with running(nobody) as agent, phone_of(agent) as phone:
        leg, invite = await place(agent, phone, handler)
        assert CALLED in invite.start_line
        assert f"sip:{CALLER}@bridge.invalid" in invite.get("from")
        assert Media.parse(invite.body) == Media("127.0.0.1", 20000, (0, 8, 101), 101, "sendrecv")
        assert "m=text" not in invite.body
        await phone.reply(invite, 180)
        await phone.reply(invite, 183, body=phone_sdp())
        await phone.reply(invite, 200, body=phone_sdp())
        await phone.requested("ACK")
        await handler.answered.wait()
        assert leg.state is LegState.UP
        assert agent.active_calls == 1
        (remote,) = handler.remotes
        assert remote is not None
        assert (remote.host, remote.port, remote.rtcp_port) == ("127.0.0.1", 4000, 4001)
        assert remote.payload_types[0].encoding in LOCAL.encodings
        assert remote.telephone_event == 101
        assert remote.direction is Direction.SENDRECV
        leg.end(200, q850=16)
        bye = await phone.requested("BYE")
        assert bye.get("reason") == "Q.850;cause=16"
        await phone.reply(bye, 200)
        assert [status for status, *_ in handler.ends] == [200]


async def test_refused_with_a_cause() -> None:
    handler = Recorder()
    async with running(nobody) as agent, phone_of(agent) as phone:
        leg, invite = await place(agent, phone, handler)
        await phone.reply(invite, 486, headers=(("Reason", "Q.850;cause=17"),))
        await phone.requested("ACK")
        assert handler.ends == [(486, "-", 17)]
        assert leg.state is LegState.ENDED


async def test_we_give_up_while_it_rings() -> None:
    handler = Recorder()
    async with running(nobody) as agent, phone_of(agent) as phone:
        leg, invite = await place(agent, phone, handler)
        await phone.reply(invite, 180)
        while leg.state is not LegState.CALLING or handler.ends:
            await trio.lowlevel.checkpoint()
        await trio.sleep(0.02)  # the 180 must have been read: without it there is no CANCEL
        leg.end(487, q850=16)
        cancel = await phone.requested("CANCEL")
        assert cancel.get("reason") == "Q.850;cause=16"
        await phone.reply(cancel, 200)
        await phone.reply(invite, 487)
        await phone.requested("ACK")
        assert len(handler.ends) == 1


async def test_phone_holds_and_hangs_up() -> None:
    handler = Recorder()
    async with running(nobody) as agent, phone_of(agent) as phone:
        _, invite = await place(agent, phone, handler)
        await phone.reply(invite, 200, body=phone_sdp("recvonly"))
        await phone.requested("ACK")
        answer = await phone.call(phone_sdp("sendonly", version=2))
        assert Media.parse(answer.body).direction == "recvonly"
        assert [remote.direction for remote in handler.remotes if remote] == [
            Direction.RECVONLY,
            Direction.SENDONLY,
        ]
        await phone.hang_up()
        await handler.ended.wait()


async def test_answered_on_hold() -> None:
    handler = Recorder()
    async with running(nobody) as agent, phone_of(agent) as phone:
        _, invite = await place(agent, phone, handler)
        await phone.reply(invite, 200, body=phone_sdp("inactive"))
        await phone.requested("ACK")
        await handler.answered.wait()
        assert [remote.direction for remote in handler.remotes if remote] == [Direction.INACTIVE]
        await phone.hang_up()


@pytest.mark.parametrize("uri", [f"sip:{CALLED}@", f"{CALLED}", "", f"mailto:{CALLED}"])
async def test_uri_that_cannot_be_called(uri: str) -> None:
    handler = Recorder()
    async with running(nobody) as agent:
        with pytest.raises(SipError) as raised:
            agent.call(uri, handler, LOCAL)
        assert CALLED not in str(raised.value)
        assert agent.active_calls == 0
    with pytest.raises(SipError, match="not running"):
        agent.call("sip:x@127.0.0.1", handler, LOCAL)
    assert not handler.ends
