"""What a phone's SDP and a link's formats have in common."""

import pytest

from bridge.bridging.negotiation import can_serve, encodings, local_media, remote_media
from bridge.iax2 import Format
from bridge.sip.sdp import AudioDescription, parse_sdp_untrusted

SIP_SOURCE = "198.51.100.9"


def offer(formats: str = "0 8 101", direction: str = "sendrecv") -> AudioDescription:
    return parse_sdp_untrusted(
        f"v=0\r\nc=IN IP4 192.0.2.10\r\nm=audio 4000 RTP/AVP {formats}\r\n"
        f"a=rtpmap:101 telephone-event/8000\r\na=rtpmap:96 PCMA/8000\r\na={direction}\r\n"
    )


@pytest.mark.parametrize(
    ("formats", "expected"),
    [
        ((Format.ULAW,), ("PCMU", "PCMA")),
        ((Format.ALAW,), ("PCMA", "PCMU")),
        ((Format.ALAW, Format.ULAW), ("PCMA", "PCMU")),
        ((Format.ALAW, Format.ULAW, Format.ALAW), ("PCMA", "PCMU")),
        ((Format.G722, Format.ALAW), ("G722", "PCMA", "PCMU")),
        ((Format.G722,), ("G722",)),
        ((Format.ILBC, Format.GSM, Format.G729), ("ILBC", "GSM", "G729")),
        ((), ()),
    ],
)
def test_either_g711_serves_where_the_link_has_one(
    formats: tuple[Format, ...], expected: tuple[str, ...]
) -> None:
    assert encodings(formats) == expected


def test_our_description_names_every_codec_that_can_be_relayed() -> None:
    local = local_media("192.0.2.1", 20000, (Format.ALAW,))
    assert (local.host, local.port, local.encodings) == ("192.0.2.1", 20000, ("PCMA", "PCMU"))
    assert local.telephone_event


@pytest.mark.parametrize(
    ("formats", "served"), [("0", True), ("8", True), ("96", True), ("3", False), ("9 18", False)]
)
def test_an_offer_can_be_served_when_a_codec_is_common(formats: str, *, served: bool) -> None:
    assert can_serve(offer(formats), (Format.ULAW,)) is served


def test_a_phone_that_wants_our_offer_can_be_served() -> None:
    assert can_serve(None, (Format.ULAW,))


def test_the_link_chooses_the_codec_and_the_phone_its_number() -> None:
    media = remote_media(offer("0 96"), (Format.ALAW, Format.ULAW), SIP_SOURCE)
    assert media is not None
    assert (media.format, media.payload_type) == (Format.ALAW, 96)


def test_all_that_the_relay_needs_is_carried_over() -> None:
    media = remote_media(offer(), (Format.ULAW,), SIP_SOURCE)
    assert media is not None
    assert (media.host, media.port, media.rtcp_port) == ("192.0.2.10", 4000, 4001)
    assert media.signalling_host == SIP_SOURCE
    assert media.telephone_event == 101


def test_a_phone_without_telephone_events_gets_none() -> None:
    media = remote_media(offer("0"), (Format.ULAW,), SIP_SOURCE)
    assert media is not None
    assert media.telephone_event is None


@pytest.mark.parametrize(
    ("direction", "sends", "receives"),
    [
        ("sendrecv", True, True),
        ("sendonly", True, False),
        ("recvonly", False, True),
        ("inactive", False, False),
    ],
)
def test_hold_is_carried_over(direction: str, *, sends: bool, receives: bool) -> None:
    media = remote_media(offer(direction=direction), (Format.ULAW,), SIP_SOURCE)
    assert media is not None
    assert (media.sends, media.receives) == (sends, receives)


def test_nothing_is_agreed_without_a_common_codec() -> None:
    assert remote_media(offer("3"), (Format.ULAW, Format.ALAW), SIP_SOURCE) is None
