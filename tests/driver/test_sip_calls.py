"""Incoming calls on a real pjsua2, told to it message by message."""

import pjsua2 as pj
import pytest
import trio

from bridge.sip.leg import LegState, SipLeg
from bridge.sip.sdp import MAX_MEDIA_LINES, Direction, LocalMedia
from tests.driver.sip_phone import (
    CALLED,
    CALLER,
    LOCAL,
    WAIT_S,
    Answering,
    Desk,
    Recorder,
    phone_of,
    phone_sdp,
    running,
)
from tests.lab.sip_message import Media, SipMessage

CRYPTO = "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:" + "A" * 40 + "\r\n"


def version(message: SipMessage) -> int:
    return int(message.body.split(" ", 3)[2])


async def test_ringing_progress_answer_and_the_phone_hangs_up() -> None:
    desk = Desk()
    async with running(desk) as agent, phone_of(agent) as phone:
        await phone.request("INVITE", body=phone_sdp())
        assert (await phone.receive()).status == 100
        leg = desk.leg
        assert (leg.caller, leg.called) == (CALLER, CALLED)
        assert leg.source == phone.socket.getsockname()
        assert leg.local_host == "127.0.0.1"
        assert leg.offer is not None
        assert [p.encoding for p in leg.offer.payload_types] == ["PCMA", "PCMU"]
        leg.ringing()
        assert not (await phone.response(180)).body
        leg.progress()
        early = await phone.response(183)
        leg.answer()
        answered = await phone.response(200)
        assert Media.parse(early.body) == Media("127.0.0.1", 20000, (0, 101), 101, "sendrecv")
        assert answered.body == early.body
        await phone.request("ACK")
        await desk.handler.answered.wait()
        assert leg.state is LegState.UP
        await phone.request("BYE", headers=(("Reason", 'SIP;cause=200, Q.850;cause=16;text="x"'),))
        await phone.response(200, "BYE")
        assert desk.handler.ends == [(200, "Normal call clearing", 16)]
        assert desk.handler.remotes == [leg.offer]
        assert agent.active_calls == 0


async def test_pjsip_makes_no_stream_and_tells_what_the_phone_said() -> None:
    desk = Answering()
    async with running(desk) as agent, phone_of(agent) as phone:
        await phone.call(phone_sdp())
        ((number, call),) = agent._calls.by_id.items()
        with pytest.raises(pj.Error):
            call.getStreamInfo(0)
        assert "m=audio" in pj.CallCallbacks.remoteDescription(number)
        assert pj.CallCallbacks.remoteDescription(number + 1) == ""
        assert pj.CallCallbacks.remoteDescription(-1) == ""
        await phone.hang_up()


async def test_we_hang_up_with_a_reason() -> None:
    desk = Answering()
    async with running(desk) as agent, phone_of(agent) as phone:
        await phone.call()
        await desk.handler.answered.wait()
        desk.leg.end(480, "not shown", retry_after_s=3, q850=31)
        assert desk.handler.ended.is_set()
        bye = await phone.requested("BYE")
        assert ("reason", "Q.850;cause=31") in bye.headers
        await phone.reply(bye, 200)


@pytest.mark.parametrize("inside_callback", [True, False])
async def test_refusal_with_all_that_it_can_say(*, inside_callback: bool) -> None:
    desk = Desk()

    def refuse(leg: SipLeg) -> Recorder | None:
        desk.legs.append(leg)
        if inside_callback:
            leg.end(503, "Link down", retry_after_s=30, q850=38)
            return None
        return desk.handler

    async with running(refuse) as agent, phone_of(agent) as phone:
        await phone.request("INVITE", body=phone_sdp())
        if not inside_callback:
            assert (await phone.receive()).status == 100
            desk.leg.end(503, "Link down", retry_after_s=30, q850=38)
        refused = await phone.response(503)
        assert refused.reason == "Link down"
        assert refused.get("retry-after") == "30"
        assert refused.get("reason") == "Q.850;cause=38"
        await phone.request("ACK", same_transaction=True)
        assert desk.leg.state is LegState.ENDED
        assert [status for status, *_ in desk.handler.ends] == [] if inside_callback else [503]


async def test_leg_without_a_handler_is_refused() -> None:
    async with running(lambda _leg: None) as agent, phone_of(agent) as phone:
        await phone.request("INVITE", body=phone_sdp())
        await phone.response(500)
        await phone.request("ACK", same_transaction=True)


async def test_caller_gives_up() -> None:
    desk = Desk()
    async with running(desk) as agent, phone_of(agent) as phone:
        await phone.request("INVITE", body=phone_sdp())
        assert (await phone.receive()).status == 100
        desk.leg.ringing()
        await phone.receive()
        await phone.request("CANCEL", same_transaction=True)
        statuses = {(await phone.receive()).status, (await phone.receive()).status}
        await phone.request("ACK", same_transaction=True)
        assert statuses == {200, 487}
        assert [status for status, *_ in desk.handler.ends] == [487]
        desk.leg.answer()  # too late, and harmless
        desk.leg.end(486)
        assert len(desk.handler.ends) == 1


async def test_both_hang_up_at_once() -> None:
    desk = Answering()
    async with running(desk) as agent, phone_of(agent) as phone:
        await phone.call()
        await desk.handler.answered.wait()
        desk.leg.end(200)
        await phone.request("BYE")
        messages = [await phone.receive(), await phone.receive()]
        (bye,) = [message for message in messages if not message.status]
        await phone.reply(bye, 200)
        assert len(desk.handler.ends) == 1


async def test_retransmitted_invite_makes_one_call() -> None:
    desk = Desk()
    async with running(desk) as agent, phone_of(agent) as phone:
        invite = await phone.request("INVITE", body=phone_sdp())
        await phone.receive()
        await phone.socket.sendto(invite.encode(), phone.agent)
        await phone.receive()
        desk.leg.end(486)
        await phone.response(486)
        await phone.request("ACK", same_transaction=True)
        assert len(desk.legs) == 1


async def test_media_chosen_with_the_answer() -> None:
    desk = Desk()
    async with running(desk) as agent, phone_of(agent) as phone:
        await phone.request("INVITE", body=phone_sdp())
        await phone.receive()
        desk.leg.ringing()
        await phone.response(180)
        desk.leg.answer(LocalMedia("127.0.0.9", 20002, ("PCMA",)))
        answered = await phone.response(200)
        assert Media.parse(answered.body) == Media("127.0.0.9", 20002, (8, 101), 101, "sendrecv")
        await phone.request("ACK")
        await phone.hang_up()


async def test_hold_and_resume() -> None:
    desk = Answering()
    async with running(desk) as agent, phone_of(agent) as phone:
        versions = [version(await phone.call())]
        for number, (theirs, ours) in enumerate(
            [("sendonly", "recvonly"), ("inactive", "inactive"), ("sendrecv", "sendrecv")], start=2
        ):
            answer = await phone.call(phone_sdp(theirs, version=number))
            assert Media.parse(answer.body).direction == ours
            versions.append(version(answer))
        old_style = await phone.call(phone_sdp(host="0.0.0.0", version=5))
        assert Media.parse(old_style.body).direction == "recvonly"
        assert versions == list(range(versions[0], versions[0] + 4))
        directions = [remote.direction for remote in desk.handler.remotes if remote]
        assert directions == [
            Direction.SENDRECV,
            Direction.SENDONLY,
            Direction.INACTIVE,
            Direction.SENDRECV,
            Direction.SENDONLY,
        ]
        await phone.hang_up()


async def test_update_within_the_call() -> None:
    desk = Answering()
    async with running(desk) as agent, phone_of(agent) as phone:
        await phone.call()
        await phone.request("UPDATE", body=phone_sdp("sendonly", version=2))
        answer = await phone.response(200, "UPDATE")
        assert Media.parse(answer.body).direction == "recvonly"
        await phone.hang_up()


@pytest.mark.parametrize(
    "body",
    [
        phone_sdp().replace("8 0 101", "3 101"),
        phone_sdp().replace("RTP/AVP", "RTP/SAVP") + CRYPTO,
        phone_sdp().replace("m=audio 4000", "m=audio 0"),
        phone_sdp(host="phone.example.net"),
        phone_sdp() + "m=video 4002 RTP/AVP 31\r\n" * MAX_MEDIA_LINES,
    ],
)
async def test_useless_offer_in_a_call_leaves_it_as_it_was(body: str) -> None:
    desk = Answering()
    async with running(desk) as agent, phone_of(agent) as phone:
        await phone.call()
        await phone.request("INVITE", body=body)
        await phone.response(488)
        await phone.request("ACK", same_transaction=True)
        assert desk.leg.state is LegState.UP
        await phone.hang_up()


async def test_as_many_media_lines_as_are_read_are_answered() -> None:
    """PJSIP is built for one more of them."""
    others = "m=video 4002 RTP/AVP 31\r\n" * (MAX_MEDIA_LINES - 1)
    async with running(Answering()) as agent, phone_of(agent) as phone:
        accepted = await phone.call(phone_sdp() + others)
        assert accepted.body.count("m=video 0 ") == MAX_MEDIA_LINES - 1
        await phone.hang_up()


@pytest.mark.parametrize(
    "body",
    [
        phone_sdp().replace("8 0 101", "3 101"),
        phone_sdp().replace("RTP/AVP", "RTP/SAVP") + CRYPTO,
        phone_sdp().replace("m=audio", "m=video"),
        phone_sdp(host="phone.example.net"),
        phone_sdp(host="224.0.0.1"),
        phone_sdp() + "m=video 4002 RTP/AVP 31\r\n" * MAX_MEDIA_LINES,
    ],
)
async def test_useless_offer_is_refused(body: str) -> None:
    desk = Desk()
    async with running(desk) as agent, phone_of(agent) as phone:
        await phone.request("INVITE", body=body)
        await phone.response(488)
        await phone.request("ACK", same_transaction=True)


@pytest.mark.parametrize(
    ("lines", "answered"),
    [
        ("m=video 5000 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n{}", "m=video 0 RTP/AVP 96"),
        ("{}m=video 5000 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n", "m=video 0 RTP/AVP 96"),
        ("m=audio 5000 RTP/SAVP 0\r\n" + CRYPTO + "{}", "m=audio 0 RTP/SAVP 0"),
        ("{}m=audio 5000 RTP/AVP 0\r\n", "m=audio 0 RTP/AVP 0"),
        ("{}m=text 5000 RTP/AVP 98\r\na=rtpmap:98 t140/1000\r\n", "m=text 0 RTP/AVP 98"),
        ("{}m=image 5000 udptl t38\r\n", "m=image 0 udptl t38"),
    ],
)
async def test_one_audio_line_of_several_is_used(lines: str, answered: str) -> None:
    head, _, audio = phone_sdp().partition("m=")
    async with running(Answering()) as agent, phone_of(agent) as phone:
        accepted = await phone.call(head + lines.format(f"m={audio}"))
        media = [line for line in accepted.body.split("\r\n") if line.startswith("m=")]
        assert sorted(media) == sorted([answered, "m=audio 20000 RTP/AVP 0 101"])
        await phone.hang_up()


async def test_phone_leaves_the_offer_to_us() -> None:
    desk = Answering()
    async with running(desk) as agent, phone_of(agent) as phone:
        await phone.request("INVITE")
        offer = await phone.response(200)
        assert Media.parse(offer.body).payload_types == (0, 8, 101)
        await phone.request("ACK", body=phone_sdp("sendonly"))
        await desk.handler.answered.wait()
        assert desk.leg.offer is None
        asked, remote = desk.handler.remotes
        assert asked is None
        assert remote is not None
        assert (remote.host, remote.port, remote.telephone_event) == ("127.0.0.1", 4000, 101)
        assert remote.direction is Direction.SENDONLY
        assert remote.payload_types[0].encoding in LOCAL.encodings
        await phone.hang_up()


async def test_phone_wants_a_new_offer() -> None:
    desk = Answering()
    async with running(desk) as agent, phone_of(agent) as phone:
        await phone.call()
        await phone.request("INVITE")
        offer = await phone.response(200)
        assert Media.parse(offer.body).payload_types == (0, 8, 101)
        await phone.request("ACK", body=phone_sdp(version=2).replace("4000", "4002"))
        await phone.hang_up()
        _, asked, remote = desk.handler.remotes
        assert asked is None
        assert remote is not None
        assert remote.port == 4002


async def test_reliable_provisional_responses() -> None:
    desk = Desk()
    async with running(desk) as agent, phone_of(agent) as phone:
        required = (("Require", "100rel"), ("Supported", "100rel"))
        await phone.request("INVITE", body=phone_sdp(), headers=required)
        await phone.receive()
        desk.leg.progress()
        early = await phone.response(183)
        assert Media.parse(early.body).port == 20000
        rack = (("RAck", f"{early.get('rseq')} 1 INVITE"),)
        await phone.request("PRACK", headers=rack)
        await phone.response(200, "PRACK")
        desk.leg.answer()
        await phone.response(200)
        phone.cseq = 1
        await phone.request("ACK")
        phone.cseq = 2
        await phone.hang_up()


async def test_our_offer_in_a_reliable_response_is_answered_by_prack() -> None:
    desk = Desk()
    async with running(desk) as agent, phone_of(agent) as phone:
        await phone.request("INVITE", headers=(("Require", "100rel"), ("Supported", "100rel")))
        await phone.receive()
        desk.leg.progress()
        rack = ("RAck", f"{(await phone.response(183)).get('rseq')} 1 INVITE")
        await phone.request("PRACK", headers=(rack,), body=phone_sdp())
        await phone.response(200, "PRACK")
        _, remote = desk.handler.remotes
        assert remote is not None
        assert (remote.port, remote.telephone_event) == (4000, 101)
        desk.leg.answer()
        await phone.response(200)
        phone.cseq = 1
        await phone.request("ACK")
        phone.cseq = 2
        with trio.fail_after(WAIT_S):
            await desk.handler.answered.wait()
        await phone.hang_up()


async def test_ipv6() -> None:
    desk = Answering()
    desk.handler.local = LocalMedia("::1", 20000, ("PCMU",))
    async with (
        running(desk, listen=("udp://127.0.0.1:0", "udp://[::1]:0")) as agent,
        phone_of(agent, "::1", url=1) as phone,
    ):
        accepted = await phone.call(phone_sdp().replace("IP4 127.0.0.1", "IP6 ::1"))
        assert "c=IN IP6 ::1\r\n" in accepted.body
        assert desk.leg.local_host == "::1"
        assert desk.leg.source[0] == "::1"
        await phone.hang_up()


async def test_address_reached_on_a_wildcard_socket() -> None:
    desk = Answering()
    async with (
        running(desk, listen=("udp://0.0.0.0:0",)) as agent,
        phone_of(agent, "127.0.0.5") as phone,
    ):
        phone.agent = ("127.0.0.1", phone.agent[1])
        await phone.request("INVITE", body=phone_sdp())
        accepted = await phone.response(200)
        assert desk.leg.local_host.startswith("127.")
        assert f"<sip:bridge@{desk.leg.local_host}:{phone.agent[1]}>" in accepted.get("contact")
        await phone.request("ACK")
        await phone.hang_up()


async def test_two_calls_share_the_agent() -> None:
    desk = Answering()
    async with (
        running(desk) as agent,
        phone_of(agent) as first,
        phone_of(agent) as second,
    ):
        await first.call()
        await second.call()
        assert agent.active_calls == 2
        assert [leg.id for leg in desk.legs] == [1, 2]
        await first.hang_up()
        await second.hang_up()
        with trio.fail_after(1):
            await desk.handler.ended.wait()


async def test_a_bye_that_has_to_wait_for_the_ack_keeps_its_reason() -> None:
    desk = Answering()
    async with running(desk) as agent, phone_of(agent) as phone:
        await phone.request("INVITE", body=phone_sdp())
        await phone.response(200)
        desk.leg.end(503, q850=38)
        await phone.request("ACK")
        bye = await phone.requested("BYE")
        assert bye.get("reason") == "Q.850;cause=38"
        await phone.reply(bye, 200)
