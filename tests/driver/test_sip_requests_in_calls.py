"""Requests of phones within a call: OPTIONS, INFO, REFER and what is declined."""

from bridge.sip.leg import SipLeg
from bridge.sip.refer import ReferAnswer
from tests.driver.sip_phone import Answering, Recorder, phone_of, phone_sdp, running
from tests.lab.sip_message import uri_of


async def test_transfer_is_declined() -> None:
    async with running(Answering()) as agent, phone_of(agent) as phone:
        await phone.call()
        await phone.request("REFER", headers=(("Refer-To", f"<{phone.uri}>"),))
        await phone.response(603, "REFER")
        await phone.hang_up()


async def test_taking_over_a_call_is_declined() -> None:
    async with (
        running(Answering()) as agent,
        phone_of(agent) as phone,
        phone_of(agent) as thief,
    ):
        accepted = await phone.call()
        _, _, tag = accepted.get("to").partition("tag=")
        replaces = ("Replaces", f"{phone.call_id};to-tag={tag};from-tag=phone")
        await thief.request("INVITE", body=phone_sdp(), headers=(replaces,))
        await thief.response(603)
        await thief.request("ACK", same_transaction=True)
        assert agent.active_calls == 1
        await phone.hang_up()


async def test_other_requests_within_a_call_are_declined() -> None:
    async with running(Answering()) as agent, phone_of(agent) as phone:
        await phone.call()
        await phone.request("JUGGLE")
        await phone.response(500, "JUGGLE")
        await phone.hang_up()


async def test_options_within_a_call() -> None:
    async with running(Answering()) as agent, phone_of(agent) as phone:
        await phone.call()
        await phone.request("OPTIONS")
        assert "INVITE" in (await phone.response(200, "OPTIONS")).get("allow")
        await phone.hang_up()


async def test_digits_by_info_each_once() -> None:
    desk = Answering()
    async with running(desk) as agent, phone_of(agent) as phone:
        await phone.call()
        for body in ("Signal=5\r\nDuration=160\r\n", "Signal=#\r\n"):
            relay = (("Content-Type", "application/dtmf-relay"),)
            sent = await phone.request("INFO", headers=relay, body=body)
            await phone.response(200, "INFO")
            await phone.socket.sendto(sent.encode(), phone.agent)  # as if the 200 had been lost
            await phone.response(200, "INFO")
        await phone.request("INFO", headers=(("Content-Type", "application/dtmf"),), body="7")
        await phone.response(200, "INFO")
        assert desk.handler.digits == ["5", "#", "7"]
        await phone.request("INFO", headers=(("Content-Type", "text/plain"),), body="7")
        await phone.response(415, "INFO")
        phone.cseq -= 2  # one that comes behind a later one
        await phone.request("INFO", headers=(("Content-Type", "application/dtmf"),), body="9")
        await phone.response(500, "INFO")
        phone.cseq += 1
        assert desk.handler.digits == ["5", "#", "7"]
        await phone.hang_up()


async def test_a_handler_that_hangs_up_at_a_digit() -> None:
    class HangingUp(Recorder):
        def on_digit(self, leg: SipLeg, digit: str) -> None:
            super().on_digit(leg, digit)
            leg.end(480)

    desk = Answering(handler=HangingUp())
    async with running(desk) as agent, phone_of(agent) as phone:
        await phone.call()
        await phone.request("INFO", headers=(("Content-Type", "application/dtmf"),), body="7")
        messages = [await phone.receive() for _ in range(2)]
        (bye,) = [message for message in messages if not message.status]
        assert 200 in [message.status for message in messages]
        await phone.reply(bye, 200)
        assert desk.handler.digits == ["7"]


async def test_refer_goes_to_the_handler_and_what_it_begins_comes_behind_the_answer() -> None:
    desk = Answering()

    def begin() -> None:
        desk.leg.notify((("Event", "refer"), ("Subscription-State", "active")), "SIP/2.0 100 T\r\n")

    async with running(desk) as agent, phone_of(agent) as phone:
        accepted = await phone.call()
        refer_to = ("Refer-To", "<sip:201@127.0.0.1>")
        await phone.request("REFER", headers=(refer_to,))
        await phone.response(603, "REFER")
        desk.handler.refer_answer = ReferAnswer(202, begin)
        await phone.request("REFER", headers=(refer_to, ("Refer-Sub", "false")))
        answer = await phone.response(202, "REFER")
        assert uri_of(answer.get("contact")) == uri_of(accepted.get("contact"))
        assert answer.get("refer-sub") == "false"
        notify = await phone.requested("NOTIFY")
        await phone.reply(notify, 200)
        assert notify.get("content-type") == "message/sipfrag;version=2.0"
        assert notify.get("event") == "refer"
        assert notify.body == "SIP/2.0 100 T\r\n"
        assert [refer.user for refer in desk.handler.refers] == ["201", "201"]
        assert desk.handler.refers[0].source_host == "127.0.0.1"
        assert desk.leg.call_id == phone.call_id
        await phone.request("REFER")
        await phone.response(400, "REFER")
        await phone.hang_up()


async def test_what_a_refer_begins_may_fail_and_ends_that_call_alone() -> None:
    desk = Answering()

    def begin() -> None:
        raise RuntimeError("broken")

    async with running(desk) as agent, phone_of(agent) as phone:
        await phone.call()
        desk.handler.refer_answer = ReferAnswer(202, begin)
        await phone.request("REFER", headers=(("Refer-To", "<sip:201@127.0.0.1>"),))
        await phone.response(202, "REFER")
        await phone.reply(await phone.requested("BYE"), 200)


async def test_a_refer_outside_a_call_is_refused() -> None:
    async with running(Answering()) as agent, phone_of(agent) as phone:
        await phone.request("REFER", headers=(("Refer-To", "<sip:201@127.0.0.1>"),))
        await phone.response(481, "REFER")
