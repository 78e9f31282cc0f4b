"""What is read of a peer's SDP, and that hostile text raises SdpError alone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.sip.sdp import (
    MAX_FORMATS,
    MAX_MEDIA_LINES,
    MAX_SDP_CHARACTERS,
    AudioDescription,
    Direction,
    MediaLine,
    PayloadType,
    SdpError,
    common_payload_type,
    parse_sdp_untrusted,
)

SESSION = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 192.0.2.7\r\nt=0 0\r\n"
AUDIO = (
    "m=audio 4000 RTP/AVP 8 0 96 97 101\r\n"
    "a=rtpmap:96 opus/48000/2\r\na=rtpmap:97 telephone-event/48000\r\n"
    "a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\na=fmtp:96 useinbandfec=1\r\n"
    "a=ptime:30\r\n"
)


def test_all_that_a_phone_says() -> None:
    assert parse_sdp_untrusted(SESSION + AUDIO) == AudioDescription(
        host="192.0.2.7",
        port=4000,
        payload_types=(
            PayloadType(8, "PCMA", 8000),
            PayloadType(0, "PCMU", 8000),
            PayloadType(96, "OPUS", 48000, 2, "useinbandfec=1"),
        ),
        direction=Direction.SENDRECV,
        ptime_ms=30,
        telephone_event=101,
        rtcp_port=4001,
        line=0,
        media_lines=(MediaLine("audio", "RTP/AVP", ("8", "0", "96", "97", "101")),),
    )


def test_ipv6_and_bare_line_feeds() -> None:
    text = "v=0\nc=IN IP6 2001:db8::7\nm=audio 4000 RTP/AVP 0\na=rtcp:5001 IN IP6 2001:db8::7\n"
    remote = parse_sdp_untrusted(text)
    assert (remote.host, remote.rtcp_port) == ("2001:db8::7", 5001)


def test_first_usable_audio_line_wins() -> None:
    text = (
        "m=video 4000 RTP/AVP 96\r\nm=audio 4002 RTP/SAVP 0\r\nm=audio 0 RTP/AVP 0\r\n"
        "m=audio 4004/2 RTP/AVP 0\r\nc=IN IP4 192.0.2.8\r\nm=audio 4006 RTP/AVP 8\r\n"
    )
    remote = parse_sdp_untrusted(SESSION + text)
    assert (remote.line, remote.host, remote.port) == (3, "192.0.2.8", 4004)
    assert [line.protocol for line in remote.media_lines][1] == "RTP/SAVP"


@pytest.mark.parametrize("direction", list(Direction))
def test_direction_of_the_media_line_overrides_the_session(direction: Direction) -> None:
    assert (
        parse_sdp_untrusted(f"{SESSION}a=inactive\r\n{AUDIO}a={direction.value}\r\n").direction
        is direction
    )
    assert parse_sdp_untrusted(f"{SESSION}a={direction.value}\r\n{AUDIO}").direction is direction


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("sendrecv", Direction.SENDONLY),
        ("sendonly", Direction.SENDONLY),
        ("recvonly", Direction.INACTIVE),
        ("inactive", Direction.INACTIVE),
    ],
)
def test_unspecified_address_is_hold(said: str, meant: Direction) -> None:
    text = f"v=0\r\nc=IN IP4 0.0.0.0\r\n{AUDIO}a={said}\r\n"
    assert parse_sdp_untrusted(text).direction is meant


@pytest.mark.parametrize(
    "attribute",
    [
        "ptime:0",
        "ptime:9999",
        "ptime:20.0",
        "ptime:\u0663\u0660",
        "rtpmap:8",
        "rtpmap:999 x/8000",
        "fmtp:",
        "fmtp:8 " + "x" * 300,
        "rtcp:",
        "rtcp:70000",
        "rtpmap:8 PCMA/80000000",
        ":",
        "",
    ],
)
def test_malformed_attributes_count_as_absent(attribute: str) -> None:
    remote = parse_sdp_untrusted(f"{SESSION}m=audio 4000 RTP/AVP 8\r\na={attribute}\r\n")
    assert remote.payload_types == (PayloadType(8, "PCMA", 8000),)
    assert (remote.ptime_ms, remote.rtcp_port) == (None, 4001)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "begin"),
        ("o=- 1 1 IN IP4 127.0.0.1", "begin"),
        ("v=0\r\nnonsense", "no field"),
        (SESSION, "no active audio"),
        (SESSION + "m=audio 0 RTP/AVP 0", "no active audio"),
        (SESSION + "m=audio 4000 RTP/SAVP 0", "encrypted"),
        (SESSION + "m=audio 4000 UDP/TLS/RTP/SAVPF 0", "encrypted"),
        (SESSION + "m=audio 65536 RTP/AVP 0", "port"),
        (SESSION + "m=audio -1 RTP/AVP 0", "port"),
        (SESSION + "m=audio 4000 RTP/AVP", "few"),
        (SESSION + "m=audio 4000 RTP/AVP" + " 0" * (MAX_FORMATS + 1), "many"),
        (SESSION + "m=audio 4000 RTP/AVP \u0663", "characters"),
        (SESSION + AUDIO * (MAX_MEDIA_LINES + 1), "media lines"),
        (SESSION + " " * MAX_SDP_CHARACTERS, "longer"),
        ("v=0\r\n" + AUDIO, "connection"),
        ("v=0\r\nc=IN IP4 phone.example.net\r\n" + AUDIO, "literal"),
        ("v=0\r\nc=IN IP4 224.2.1.1/127\r\n" + AUDIO, "literal"),
        ("v=0\r\nc=IN IP4 224.2.1.1\r\n" + AUDIO, "unicast"),
        ("v=0\r\nc=IN IP4 255.255.255.255\r\n" + AUDIO, "unicast"),
        ("v=0\r\nc=IN IP6 ff02::1\r\n" + AUDIO, "unicast"),
        ("v=0\r\nc=IN IP6 fe80::1%lo\r\n" + AUDIO, "another kind"),
        ("v=0\r\nc=IN IP4 ::1\r\n" + AUDIO, "another kind"),
        ("v=0\r\nc=ATM NSAP 1\r\n" + AUDIO, "connection"),
    ],
)
def test_refused(text: str, problem: str) -> None:
    with pytest.raises(SdpError, match=problem):
        parse_sdp_untrusted(text)


@pytest.mark.parametrize(
    ("encodings", "number"),
    [
        (("PCMU", "PCMA"), 0),
        (("PCMA", "PCMU"), 8),
        (("G722", "PCMA"), 8),
        (("ILBC", "G729"), None),
        ((), None),
    ],
)
def test_our_order_decides_the_codec(encodings: tuple[str, ...], number: int | None) -> None:
    found = common_payload_type(parse_sdp_untrusted(SESSION + AUDIO), encodings)
    assert (found and found.number) == number


def test_dynamic_numbers_are_the_offers() -> None:
    audio = "m=audio 4000 RTP/AVP 120 121\r\na=rtpmap:120 pcmu/16000\r\na=rtpmap:121 pcmu/8000"
    found = common_payload_type(parse_sdp_untrusted(SESSION + audio), ("PCMU",))
    assert found == PayloadType(121, "PCMU", 8000)


@pytest.mark.parametrize(
    ("fmtp", "common"),
    [
        ("mode=20", True),
        ("mode = 20", True),
        ("x=1;mode=20", True),
        ("mode=30", False),
        ("mode=200", False),
        ("nomode=20", False),
        ("", False),
    ],
)
def test_ilbc_counts_in_frames_of_20_ms_alone(fmtp: str, *, common: bool) -> None:
    audio = "m=audio 4000 RTP/AVP 97\r\na=rtpmap:97 iLBC/8000\r\n"
    line = f"a=fmtp:97 {fmtp}\r\n" if fmtp else ""
    found = common_payload_type(parse_sdp_untrusted(SESSION + audio + line), ("ILBC",))
    assert (found is not None) is common


def check_only_sdp_error(text: str) -> None:
    try:
        remote = parse_sdp_untrusted(text)
    except SdpError:
        return
    assert 0 < remote.port < 65536
    assert remote.media_lines[remote.line].kind == "audio"
    assert len({p.number for p in remote.payload_types}) == len(remote.payload_types) <= MAX_FORMATS


@given(st.text())
def test_any_text(text: str) -> None:
    check_only_sdp_error(text)
    check_only_sdp_error(SESSION + text)


LINES = st.sampled_from([*SESSION.splitlines(), *AUDIO.splitlines(), "a=sendonly", "m=audio"])
NOISE = st.text(st.characters(codec="utf-8") | st.sampled_from("=:/ \r\n0123456789"), max_size=30)


@given(st.lists(st.tuples(LINES, st.integers(0, 40), NOISE), max_size=30))
def test_mutated_lines(parts: list[tuple[str, int, str]]) -> None:
    text = "\r\n".join(line[:cut] + noise + line[cut:] for line, cut, noise in parts)
    check_only_sdp_error(text)
    check_only_sdp_error("v=0\r\n" + text)
    check_only_sdp_error(SESSION + AUDIO + text)
