"""The lab itself: what the bridge's proofs lean on is proved on Asterisk alone.

An Asterisk stands where the bridge will: SIP phone -> Asterisk -> encrypted IAX2 -> far end.
"""

import os
from collections import Counter
from collections.abc import Iterator

import pytest
import trio

from tests.lab import LabError
from tests.lab.addresses import free_iax_address, free_udp_port
from tests.lab.asterisk import AsteriskPeer
from tests.lab.asterisk_config import SipSide, far_end, sip_gateway
from tests.lab.asterisk_fetch import AsteriskTree
from tests.lab.capture import assert_absent
from tests.lab.nursery import open_lab_nursery
from tests.lab.phone import SipPhone, open_phone
from tests.lab.phone_call import PhoneCall
from tests.lab.proxy import open_proxy
from tests.lab.scene import no_channel_left
from tests.lab.stalls import StallWatch
from tests.lab.tone import tone, tone_share

DIGITS = "5551234987"
CALLER = "4420794600"
AUDIO_OCTETS = (194, 196)
"""20 ms of mu-law, encrypted: in a mini frame, in a full one."""


@pytest.fixture
def sip_side() -> SipSide:
    return SipSide(free_udp_port(), phone_port=free_udp_port())


@pytest.fixture
def gateway(
    trees: dict[str, AsteriskTree], link_secret: str, echo_22: AsteriskPeer, sip_side: SipSide
) -> Iterator[AsteriskPeer]:
    address = free_iax_address()
    settings = sip_gateway(address, sip_side, echo_22.settings.address, link_secret)
    with AsteriskPeer(trees["22"], settings) as peer:
        yield peer


async def _call(phone: SipPhone, gateway: AsteriskPeer, side: SipSide) -> PhoneCall:
    return await phone.call((gateway.settings.address, side.port), f"9{DIGITS}", CALLER)


async def test_a_call_through_two_asterisks(
    trees: dict[str, AsteriskTree], link_secret: str, sip_side: SipSide, echo_peer: AsteriskPeer
) -> None:
    peer = echo_peer
    other = "16" if ":22." in peer.tree.version else "22"
    async with open_proxy(peer.settings.address) as link, open_phone() as phone:
        settings = sip_gateway(free_iax_address(), sip_side, link.address[0], link_secret)
        with AsteriskPeer(trees[other], settings) as gateway:
            async with open_lab_nursery() as nursery:
                stalls = StallWatch([os.getpid(), gateway.pid, peer.pid])
                nursery.start_soon(stalls.run)
                call = await _call(phone, gateway, sip_side)
                call.audio.source = call.audio.marked
                await call.answered(10)
                await trio.sleep(3)
                await call.bye()
            assert gateway.channel_count() == 0
    assert [(c.digits, c.secure_media) for c in peer.received_calls()] == [(DIGITS, "1")]
    report = call.audio.echo_report()
    assert report.sent > 100
    # Two Asterisks, and nothing of ours between them, now and then drop one frame of a call, and
    # one where the machine let a frame come late.
    # Where one was lost: before the link, on the far side of it, or behind it.
    on_link = Counter(d.source for d in link.datagrams if len(d.payload) in AUDIO_OCTETS)
    allowed = 1 + len(stalls.late_at_s)
    assert report.lost <= allowed, f"audio frames on the link, by sender: {dict(on_link)}"
    assert_absent(link.datagrams, [DIGITS])
    # Asterisk as caller tells who calls, in clear: the search finds what is there.
    with pytest.raises(AssertionError, match="stands on the link, as ASCII"):
        assert_absent(link.datagrams, [CALLER])


async def test_the_phone_answers_hears_and_decodes_each_digit_once(
    trees: dict[str, AsteriskTree], link_secret: str, sip_side: SipSide
) -> None:
    onward = ["Dial(PJSIP/phone,20)"]
    bridging = far_end(free_iax_address(), link_secret, onward, sip_side)
    caller_side = SipSide(free_udp_port(), phone_port=free_udp_port(), rtp_ports=(31000, 31999))
    settings = sip_gateway(free_iax_address(), caller_side, bridging.address, link_secret)
    async with open_phone() as caller, open_phone("127.0.0.1", sip_side.phone_port) as callee:
        with AsteriskPeer(trees["16"], bridging), AsteriskPeer(trees["22"], settings) as gateway:
            call = await _call(caller, gateway, caller_side)
            call.audio.source = tone()
            await call.answered(10)
            with trio.fail_after(10):
                taken = await callee.incoming.receive()
            taken.ring()
            await taken.answer()
            await call.audio.send_digits("1590*#", 0.4)
            await taken.bye()
            with trio.fail_after(2):
                await call.ended.wait()
    assert taken.audio.digits_received() == "1590*#"
    assert call.ended_by_peer
    heard = b"".join(packet.payload for packet in taken.audio.audio_received()[:20])
    assert tone_share(heard, 1004.0) > 0.9


async def test_hold_resume_and_info(gateway: AsteriskPeer, sip_side: SipSide) -> None:
    async with open_phone() as phone:
        call = await _call(phone, gateway, sip_side)
        call.audio.source = call.audio.marked
        await call.answered(10)
        assert (await call.reinvite("sendonly")).status == 200
        assert call.audio.remote is not None
        assert call.audio.remote.direction == "recvonly"
        assert (await call.reinvite("sendrecv")).status == 200
        assert (await call.info("5")).status in {200, 415}
        await call.bye()


async def test_a_call_that_is_given_up(gateway: AsteriskPeer, sip_side: SipSide) -> None:
    async with open_phone() as phone:
        call = await _call(phone, gateway, sip_side)
        await call.status(100, 2)
        await call.cancel()
        assert (await call.status(200, 5)).status == 487
        await no_channel_left(gateway)


async def test_an_absent_peer_shows_as_a_failure_response(
    trees: dict[str, AsteriskTree], sip_side: SipSide, link_secret: str
) -> None:
    nobody = free_iax_address()
    settings = sip_gateway(free_iax_address(), sip_side, nobody, link_secret, dial="IAX2/hq/enc,1")
    async with open_phone() as phone:
        with AsteriskPeer(trees["22"], settings) as gateway:
            call = await _call(phone, gateway, sip_side)
            with pytest.raises(LabError, match="the call ended with"):
                await call.answered(10)


def test_a_peer_that_cannot_bind_says_so(
    trees: dict[str, AsteriskTree], echo_22: AsteriskPeer, link_secret: str
) -> None:
    second = AsteriskPeer(trees["22"], far_end(echo_22.settings.address, link_secret))
    with pytest.raises(LabError, match="is taken"), second:
        pass


def test_the_shipped_configuration_writes_no_digits(echo_peer: AsteriskPeer) -> None:
    text = (echo_peer.folder / "etc" / "logger.conf").read_text()
    assert "verbose" not in text.partition("[logfiles]")[2]
    assert "dtmf" not in text.partition("[logfiles]")[2]
