"""Keys of SRTP through a real pjsua2: what we answer, offer and refuse, with a scripted phone."""

from base64 import b64encode
from dataclasses import dataclass, field, replace

import pytest

from bridge.media.srtp import SrtpKeys, Suite
from bridge.sip.admission import Admitted, SipRequest
from bridge.sip.leg import SipLeg
from bridge.sip.sdes import KeyExchange, Srtp
from bridge.sip.sdp import AudioDescription, LocalMedia, parse_sdp_untrusted
from tests.driver.sip_phone import Desk, Recorder, phone_of, phone_sdp, running

KEY = bytes(range(30))
CRYPTO = f"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{b64encode(KEY).decode()}\r\n"
SECURE = phone_sdp().replace("RTP/AVP", "RTP/SAVP") + CRYPTO
OPPORTUNISTIC = phone_sdp() + CRYPTO


def crypto_of(suite: Suite) -> tuple[str, bytes]:
    """A phone's attribute for a suite, and the key in it."""
    key = bytes(range(suite.key_octets))
    return f"a=crypto:1 {suite.value} inline:{b64encode(key).decode()}\r\n", key


@dataclass
class KeyedRecorder(Recorder):
    """Answers keys by keys, and offers them as a bridged call does."""

    exchange: KeyExchange = field(default_factory=KeyExchange)
    keys: list[SrtpKeys | None] = field(default_factory=list)

    def on_media(self, leg: SipLeg, remote: AudioDescription | None) -> LocalMedia:
        local = super().on_media(leg, remote)
        if remote is None:
            secure_only = leg.srtp is Srtp.REQUIRED
            return replace(local, crypto=self.exchange.offer(), secure_only=secure_only)
        self.keys.append(self.exchange.agree(remote.crypto))
        return replace(local, crypto=(self.exchange.local,)) if self.exchange.local else local


class KeyedDesk(Desk):
    """Answers each call at once."""

    def __init__(self) -> None:
        super().__init__(handler=KeyedRecorder())

    def __call__(self, leg: SipLeg) -> Recorder:
        leg.answer()
        return super().__call__(leg)

    @property
    def keys(self) -> list[SrtpKeys | None]:
        assert isinstance(self.handler, KeyedRecorder)
        return self.handler.keys


@pytest.mark.parametrize("srtp", [Srtp.OPTIONAL, Srtp.REQUIRED])
@pytest.mark.parametrize(("offer", "transport"), [(SECURE, "SAVP"), (OPPORTUNISTIC, "AVP")])
async def test_offer_with_keys_is_answered_with_ours(
    srtp: Srtp, offer: str, transport: str
) -> None:
    desk = KeyedDesk()
    async with running(desk, srtp=srtp) as agent, phone_of(agent) as phone:
        accepted = await phone.call(offer)
        assert f"m=audio 20000 RTP/{transport} 0 101\r\n" in accepted.body
        (ours,) = parse_sdp_untrusted(accepted.body, Srtp.REQUIRED).crypto
        assert desk.keys == [SrtpKeys(Suite.AES_CM_80, ours.key, KEY)]
        assert ours.tag == 1
        await phone.hang_up()


@pytest.mark.parametrize(
    ("srtp", "body"),
    [
        (Srtp.OFF, SECURE),
        (Srtp.REQUIRED, phone_sdp()),
        (Srtp.REQUIRED, SECURE.replace(CRYPTO, CRYPTO.replace("\r\n", " UNENCRYPTED_SRTP\r\n"))),
        (Srtp.OPTIONAL, SECURE.replace(CRYPTO, CRYPTO.replace("\r\n", "|2^31|1:1\r\n"))),
    ],
)
async def test_refused_offer(srtp: Srtp, body: str) -> None:
    async with running(KeyedDesk(), srtp=srtp) as agent, phone_of(agent) as phone:
        await phone.request("INVITE", body=body)
        await phone.response(488)
        await phone.request("ACK", same_transaction=True)


@pytest.mark.parametrize("suite", Suite)
async def test_each_suite_is_agreed_on_in_an_offer_and_in_an_answer(suite: Suite) -> None:
    desk, (crypto, key) = KeyedDesk(), crypto_of(suite)
    async with running(desk, srtp=Srtp.REQUIRED) as agent, phone_of(agent) as phone:
        accepted = await phone.call(SECURE.replace(CRYPTO, crypto))
        (ours,) = parse_sdp_untrusted(accepted.body, Srtp.REQUIRED).crypto
        assert desk.keys == [SrtpKeys(suite, ours.key, key)]
        await phone.hang_up()
    desk = KeyedDesk()
    async with running(desk, srtp=Srtp.REQUIRED) as agent, phone_of(agent) as phone:
        await phone.request("INVITE")
        offered = parse_sdp_untrusted((await phone.response(200)).body, Srtp.REQUIRED).crypto
        (ours,) = [crypto for crypto in offered if crypto.suite is suite]
        tagged = crypto.replace(":1 ", f":{ours.tag} ")
        await phone.request("ACK", body=SECURE.replace(CRYPTO, tagged))
        await desk.handler.answered.wait()
        assert desk.keys == [SrtpKeys(suite, ours.key, key)]
        await phone.hang_up()


async def test_optional_over_udp_is_the_default() -> None:
    desk = KeyedDesk()
    async with running(desk, srtp=None) as agent, phone_of(agent) as phone:
        accepted = await phone.call()
        assert "crypto" not in accepted.body
        assert desk.legs[0].srtp is Srtp.OPTIONAL
        await phone.hang_up()


async def test_a_phone_may_have_a_rule_of_its_own() -> None:
    def admission(_request: SipRequest) -> Admitted:
        return Admitted("alice")

    desk, rules = KeyedDesk(), {"alice": Srtp.REQUIRED}
    async with (
        running(desk, srtp=Srtp.OFF, srtp_of=rules, admission=admission) as agent,
        phone_of(agent) as phone,
    ):
        assert agent.srtp_toward("sip:1@127.0.0.1", "alice") is Srtp.REQUIRED
        assert agent.srtp_toward("sip:1@127.0.0.1") is Srtp.OFF
        await phone.call(SECURE)
        assert desk.legs[0].srtp is Srtp.REQUIRED
        await phone.hang_up()


@pytest.mark.parametrize(("srtp", "transport"), [(Srtp.REQUIRED, "SAVP"), (Srtp.OPTIONAL, "AVP")])
async def test_our_offer_and_the_phones_key(srtp: Srtp, transport: str) -> None:
    desk = KeyedDesk()
    async with running(desk, srtp=srtp) as agent, phone_of(agent) as phone:
        await phone.request("INVITE")
        offer = await phone.response(200)
        assert f"m=audio 20000 RTP/{transport} 0 8 101\r\n" in offer.body
        ours = parse_sdp_untrusted(offer.body, Srtp.REQUIRED).crypto
        assert [crypto.suite for crypto in ours] == list(Suite)
        answer = phone_sdp().replace("RTP/AVP", f"RTP/{transport}")
        await phone.request("ACK", body=answer + CRYPTO.replace(":1 ", ":2 "))
        await desk.handler.answered.wait()
        assert desk.keys == [SrtpKeys(Suite.AES_CM_80, ours[1].key, KEY)]
        await phone.hang_up()


@pytest.mark.parametrize(
    "answer", [phone_sdp(), SECURE.replace(CRYPTO, ""), SECURE.replace("SHA1_80", "SHA1_64")]
)
async def test_answer_in_clear_ends_a_call_that_must_not_be(answer: str) -> None:
    desk = KeyedDesk()
    async with running(desk, srtp=Srtp.REQUIRED) as agent, phone_of(agent) as phone:
        await phone.request("INVITE")
        await phone.response(200)
        await phone.request("ACK", body=answer)
        bye = await phone.requested("BYE")
        await phone.reply(bye, 200)
        assert desk.keys == []


async def test_reinvite_keeps_or_changes_the_keys() -> None:
    desk = KeyedDesk()
    async with running(desk, srtp=Srtp.REQUIRED) as agent, phone_of(agent) as phone:
        await phone.call(SECURE)
        hold = SECURE.replace("- 1 1 IN", "- 1 2 IN").replace("sendrecv", "sendonly")
        await phone.call(hold)
        other = b64encode(KEY[::-1]).decode()
        await phone.call(
            hold.replace("- 1 2 IN", "- 1 3 IN").replace(b64encode(KEY).decode(), other)
        )
        first, held, changed = desk.keys
        assert held == first
        assert changed is not None
        assert first is not None
        assert changed.local != first.local
        assert changed.remote == KEY[::-1]
        await phone.request("INVITE", body=phone_sdp(version=4))
        await phone.response(488)
        await phone.request("ACK", same_transaction=True)
        await phone.hang_up()


async def test_the_ack_of_a_reinvite_without_an_offer_brings_another_key() -> None:
    desk = KeyedDesk()
    async with running(desk, srtp=Srtp.REQUIRED) as agent, phone_of(agent) as phone:
        await phone.call(SECURE)
        await phone.request("INVITE")
        ours = parse_sdp_untrusted((await phone.response(200)).body, Srtp.REQUIRED).crypto
        other = CRYPTO.replace(":1 ", ":2 ").replace(
            b64encode(KEY).decode(), b64encode(KEY[::-1]).decode()
        )
        answer = phone_sdp(version=2).replace("RTP/AVP", "RTP/SAVP")
        await phone.request("ACK", body=answer + other)
        await phone.hang_up()
        assert desk.keys[-1] == SrtpKeys(Suite.AES_CM_80, ours[1].key, KEY[::-1])
