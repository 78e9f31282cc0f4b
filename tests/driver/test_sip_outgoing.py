"""Outgoing calls on a real pjsua2, with a phone that does what each test dictates."""

import pytest
import trio

from bridge.sip.agent import SipAgent
from bridge.sip.leg import LegState, SipLeg
from bridge.sip.messages import host_port
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


async def test_each_180_is_told() -> None:
    handler, rung = Recorder(), list[SipLeg]()
    async with running(nobody) as agent, phone_of(agent) as phone:
        leg, invite = await place(agent, phone, handler)
        leg.on_ringing = rung.append
        await phone.reply(invite, 180)
        await phone.reply(invite, 183, body=phone_sdp())
        await phone.reply(invite, 486)
        await phone.requested("ACK")
        assert rung == [leg]
        assert leg.source == host_port(phone.uri.partition("@")[2])
        assert leg.local_host == LOCAL.host


async def test_a_reliable_180_is_acknowledged_by_prack() -> None:
    """RFC 3262: a phone that requires 100rel of its own responses gets its PRACK."""
    handler, rung = Recorder(), list[SipLeg]()
    reliable = (("Require", "100rel"), ("RSeq", "7"))
    async with running(nobody) as agent, phone_of(agent) as phone:
        leg, invite = await place(agent, phone, handler)
        leg.on_ringing = rung.append
        assert "100rel" in invite.get("supported")
        await phone.reply(invite, 180, headers=reliable)
        prack = await phone.requested("PRACK")
        assert prack.get("rack") == f"7 {invite.cseq} INVITE"
        assert rung == [leg]
        await phone.reply(prack, 200)
        await phone.reply(invite, 486)
        await phone.requested("ACK")


async def test_an_answer_that_crosses_our_cancel_is_hung_up() -> None:
    handler = Recorder()
    async with running(nobody) as agent, phone_of(agent) as phone:
        leg, invite = await place(agent, phone, handler)
        rings = trio.Event()
        leg.on_ringing = lambda _leg: rings.set()
        await phone.reply(invite, 180)
        await rings.wait()
        leg.end(487, q850=26)
        cancel = await phone.requested("CANCEL")
        await phone.reply(cancel, 200)
        await phone.reply(invite, 200, body=phone_sdp())
        await phone.requested("ACK")
        bye = await phone.requested("BYE")
        await phone.reply(bye, 200)
        await handler.ended.wait()
        assert not handler.answered.is_set()


async def test_where_a_uri_is_called_from() -> None:
    async with running(nobody, listen=("udp://127.0.0.1:0",)) as agent:
        assert agent.host_toward("sip:201@127.0.0.9") == "127.0.0.1"
    async with running(nobody, listen=("udp://0.0.0.0:0",)) as agent:
        assert agent.host_toward("sip:201@127.0.0.9:5070;transport=tcp") == "127.0.0.1"
        assert agent.host_toward("sip:201@224.0.0.1.9") == ""


async def test_the_answer_is_known_when_the_call_is_up() -> None:
    """A 200 without a 183 before it: its SDP is told first, whatever order pjsip has."""

    class Late(Recorder):
        def on_answered(self, leg: SipLeg) -> None:
            assert len(self.remotes) == 1
            super().on_answered(leg)

    handler = Late()
    async with running(nobody) as agent, phone_of(agent) as phone:
        leg, invite = await place(agent, phone, handler)
        await phone.reply(invite, 180)
        await phone.reply(invite, 200, body=phone_sdp())
        await phone.requested("ACK")
        await handler.answered.wait()
        assert leg.remote is not None
        assert leg.remote.port == 4000
        await phone.hang_up()
