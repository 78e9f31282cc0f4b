"""Session timers (RFC 4028) as they are configured, with phones in both roles."""

from tests.driver.sip_phone import CALLER, LOCAL, Desk, Recorder, phone_of, phone_sdp, running

TIMER = ("Supported", "timer")


async def test_a_phone_that_wants_less_than_the_least_is_told() -> None:
    desk = Desk()
    async with running(desk, session_s=(600, 120)) as agent, phone_of(agent) as phone:
        for name in ("Session-Expires", "x"):
            await phone.request("INVITE", body=phone_sdp(), headers=((name, "119"), TIMER))
            refusal = await phone.response(422)
            assert refusal.get("min-se") == "120"
            await phone.request("ACK", same_transaction=True)
            phone.begin_anew()
        assert not desk.legs


async def test_calls_to_phones_propose_the_timer_and_follow_a_422() -> None:
    handler = Recorder()
    async with running(Desk(), session_s=(600, 120)) as agent, phone_of(agent) as phone:
        agent.call(phone.uri, handler, LOCAL, f"sip:{CALLER}@bridge.invalid")
        invite = await phone.requested("INVITE")
        assert (invite.get("session-expires"), invite.get("min-se")) == ("600", "120")
        await phone.reply(invite, 422, headers=(("Min-SE", "900"),))
        await phone.requested("ACK")
        again = await phone.requested("INVITE")
        assert (again.get("session-expires"), again.get("min-se")) == ("900", "900")
        agreed = (("Session-Expires", "900;refresher=uac"), ("Require", "timer"))
        await phone.reply(again, 200, body=phone_sdp(), headers=agreed)
        await phone.requested("ACK")
        await handler.answered.wait()
        await phone.hang_up()
