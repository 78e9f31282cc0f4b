"""Our offers and answers, and that they keep RFC 3264's rules whatever was offered."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.sip.sdp import (
    ENCODINGS,
    Direction,
    LocalMedia,
    SdpError,
    common_payload_type,
    parse_sdp_untrusted,
)
from bridge.sip.sdp_writing import mirrored, write_sdp

SESSION = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 192.0.2.7\r\nt=0 0\r\n"
LOCAL = LocalMedia("192.0.2.1", 20000, ("PCMU", "PCMA"))


def test_offer_octet_for_octet() -> None:
    assert write_sdp(None, LOCAL, 7, 3) == (
        "v=0\r\no=- 7 3 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n"
        "m=audio 20000 RTP/AVP 0 8 101\r\n"
        "a=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\n"
        "a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\n"
        "a=ptime:20\r\na=sendrecv\r\n"
    )


def test_answer_octet_for_octet() -> None:
    offer = parse_sdp_untrusted(
        SESSION + "m=video 5000 RTP/AVP 31\r\nm=audio 4000 RTP/AVPF 8 0 120\r\n"
        "a=rtpmap:120 telephone-event/8000\r\na=sendonly\r\nm=image 6000 udptl t38\r\n"
    )
    assert write_sdp(offer, LOCAL, 7, 4) == (
        "v=0\r\no=- 7 4 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n"
        "m=video 0 RTP/AVP 31\r\n"
        "m=audio 20000 RTP/AVPF 0 120\r\na=rtpmap:0 PCMU/8000\r\n"
        "a=rtpmap:120 telephone-event/8000\r\na=fmtp:120 0-15\r\n"
        "a=ptime:20\r\na=recvonly\r\n"
        "m=image 0 udptl t38\r\n"
    )


def test_no_telephone_event_where_one_side_has_none() -> None:
    offer = parse_sdp_untrusted(SESSION + "m=audio 4000 RTP/AVP 0\r\n")
    assert "telephone-event" not in write_sdp(offer, LOCAL, 1, 1)
    silent = LocalMedia("192.0.2.1", 20000, ("PCMU",), telephone_event=False)
    assert "telephone-event" not in write_sdp(None, silent, 1, 1)


def test_ipv6() -> None:
    text = write_sdp(None, LocalMedia("2001:db8::1", 20000, ("PCMU",)), 1, 1)
    assert "o=- 1 1 IN IP6 2001:db8::1\r\n" in text
    assert "\r\nc=IN IP6 2001:db8::1\r\n" in text


def test_no_common_codec() -> None:
    offer = parse_sdp_untrusted(SESSION + "m=audio 4000 RTP/AVP 3\r\n")
    with pytest.raises(SdpError, match="codec"):
        write_sdp(offer, LOCAL, 1, 1)


@pytest.mark.parametrize(
    ("remote", "wanted", "answer"),
    [
        ("sendrecv", "sendrecv", "sendrecv"),
        ("sendonly", "sendrecv", "recvonly"),
        ("recvonly", "sendrecv", "sendonly"),
        ("inactive", "sendrecv", "inactive"),
        ("sendrecv", "sendonly", "sendonly"),
        ("sendonly", "sendonly", "inactive"),
        ("recvonly", "recvonly", "inactive"),
        ("sendrecv", "inactive", "inactive"),
    ],
)
def test_hold_is_mirrored(remote: str, wanted: str, answer: str) -> None:
    assert mirrored(Direction(remote), Direction(wanted)) is Direction(answer)


@given(
    encodings=st.permutations(sorted(ENCODINGS)),
    direction=st.sampled_from(Direction),
    wanted=st.sampled_from(Direction),
    offered=st.lists(st.sampled_from(sorted(ENCODINGS)), min_size=1, unique=True),
)
def test_answers_read_back(
    encodings: list[str], direction: Direction, wanted: Direction, offered: list[str]
) -> None:
    offer = parse_sdp_untrusted(
        write_sdp(None, LocalMedia("::1", 4000, tuple(offered), direction=direction), 1, 1)
    )
    local = LocalMedia("127.0.0.1", 4002, tuple(encodings), 30, wanted)
    answer = parse_sdp_untrusted(write_sdp(offer, local, 1, 1))
    agreed = common_payload_type(offer, encodings)
    assert agreed is not None
    assert [(p.number, p.encoding) for p in answer.payload_types] == [
        (agreed.number, agreed.encoding)
    ]
    assert answer.direction is mirrored(direction, wanted)
    assert (answer.host, answer.port, answer.ptime_ms) == ("127.0.0.1", 4002, 30)
    assert answer.telephone_event == offer.telephone_event
