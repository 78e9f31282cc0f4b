"""The demo's words: plain lines where no terminal is, and nothing left out of the dialing."""

import io
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

import pytest

from bridge.demo.audio import Heard, Passage
from bridge.demo.eavesdropper import Datagram, Way
from bridge.demo.observation import observe
from bridge.demo.report import tell_audio, tell_far_end, tell_link, tell_log, tell_verdict
from bridge.demo.story import Story
from bridge.demo.verdict import Check, Evidence, Received
from bridge.dialing.envelope import Envelope
from tests.vectors.capture import read_capture

PASSAGE: Final = Passage(173, 1, 15.04, 27.9, -6.0, Heard(level_dbm0=-6.02, share=0.9998))


def datagrams() -> Iterator[Datagram]:
    """The first 40 of a real call."""
    for each in read_capture("a-md5-22-22").datagrams[:40]:
        way = Way.TO_FAR_END if each.source.endswith(".11") else Way.TO_BRIDGE
        yield Datagram(100 + each.elapsed_s, way, each.octets)


def evidence() -> Evidence:
    return Evidence(
        digits="4930123456",
        extension="enc",
        envelope=Envelope(26, 60, (200, 600), "#"),
        answered_after_s=None,
        phone_end=None,
        received=None,
        observation=observe(list(datagrams())),
        found=(),
        to_far_end=None,
        to_phone=None,
        logged=(),
        ended=None,
    )


@pytest.fixture
def out() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def story(out: io.StringIO) -> Story:
    told = Story(out)
    told.begin_clock(100)
    return told


def test_plain_lines_of_ascii(story: Story, out: io.StringIO) -> None:
    story.heading("The call")
    story.step(102.5, "phone", "hangs up [BYE]")
    story.row("link", "hq")
    story.check("search", "nothing found", holds=True)
    story.check("number", "other digits", holds=False)
    assert out.getvalue().splitlines() == [
        "",
        "The call",
        "     2.500 s  phone     hangs up [BYE]",
        "  link        hq",
        "  ok     search                      nothing found",
        "  WRONG  number                      other digits",
    ]


def test_every_frame_of_set_up_and_dialing_is_shown(story: Story, out: io.StringIO) -> None:
    tell_link(story, evidence())
    text = out.getvalue()
    assert text.isascii()
    assert text.count(" octets  call ") == len(list(datagrams()))
    assert "     0.000 s  bridge -> far end  119 octets  call  3956 -> 0      NEW\n" in text
    assert "VERSION 2; CALLED_NUMBER enc;" in text
    assert "call 13444 -> 3956   AUTHREQ\n" in text
    assert "36 octets  call  3956 -> 13444  encrypted\n" in text
    assert "nothing found" in text


def test_what_was_found_is_named(story: Story, out: io.StringIO) -> None:
    tell_link(story, replace(evidence(), found=("the number as ASCII",)))
    assert "FOUND: the number as ASCII" in out.getvalue()


def test_what_the_far_end_received(story: Story, out: io.StringIO) -> None:
    tell_far_end(story, evidence())
    tell_far_end(story, replace(evidence(), received=Received("branch-7", "enc", "4930")))
    lines = out.getvalue().splitlines()
    assert "  nothing" in lines
    assert "  in clear    user branch-7, extension enc, no caller" in lines
    assert "  encrypted   digits 4930" in lines


def test_audio(story: Story, out: io.StringIO) -> None:
    tell_audio(story, replace(evidence(), to_far_end=PASSAGE))
    text = out.getvalue()
    assert "phone -> far end: 1004 Hz sent at -6.0 dBm0, heard at -6.0 dBm0, 99.98% pure" in text
    assert "173 frames sent, 172 received, loss 0.58%, 0 breaks in the tone" in text
    assert "one-way delay p50 15.0 ms, p99 27.9 ms" in text
    assert "far end -> phone: nothing" in text


def test_the_last_word(story: Story, out: io.StringIO) -> None:
    good, bad = Check("phone", holds=True, seen="."), Check("search", holds=False, seen=".")
    assert tell_verdict(story, [good])
    assert "All is well" in out.getvalue().splitlines()[-1]
    assert not tell_verdict(story, [good, bad])
    assert out.getvalue().splitlines()[-1] == "WRONG: search"


def test_the_log_as_text(story: Story, out: io.StringIO) -> None:
    entry = {"level": "warning", "event": "link's call ended", "call": 1, "cause": None}
    tell_log(story, [{**entry, "logger": "x", "timestamp": "y"}])
    assert out.getvalue().splitlines()[-1] == "  warning     link's call ended: call 1"
