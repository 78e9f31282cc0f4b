"""Puts what was seen into words: the eavesdropper's record, the audio, the verdict."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from bridge.audit.wire import Kind, Reading
from bridge.demo.audio import Passage
from bridge.demo.eavesdropper import Way
from bridge.demo.observation import Observation, Observed, Steps
from bridge.demo.story import Story
from bridge.demo.verdict import Check, Evidence

_SHOWN_APART: Final = frozenset({"level", "event", "logger", "timestamp"})
_FORMS: Final = "ASCII, UTF-16, digit values, BCD either way, binary; in frames and across them"


def tell_link(story: Story, evidence: Evidence) -> None:
    """Show every frame of set-up and dialing, and sum up the rest."""
    observation = evidence.observation
    story.heading("What an eavesdropper on the link saw: set-up and dialing, frame by frame")
    minis = 0
    for seen in observation.observed[: observation.dialing_ends + 1]:
        if seen.reading.kind is Kind.MINI:
            minis += 1
        else:
            _tell_frame(story, seen)
    story.line(f"and between these, {minis} mini frames with audio", "dim")
    story.heading("... and, summed up")
    for label, text, steps, claim in _sums(observation):
        story.row(label, text + _steps(steps))
        if claim and steps.count:
            story.row("", claim)
    _tell_search(story, evidence)


def _sums(observation: Observation) -> Iterator[tuple[str, str, Steps, str]]:
    """Give label, text, figures and what they mean."""
    dialing, after = observation.dialing, observation.after_dialing
    yield "dialing", "", dialing, "so it is for every number: digits and comfort noise look alike"
    yield "then", "", after, "so it is to the end: a key pressed within the call does not show"
    whatever = "so it is from answer to hang-up, whatever the phone sends"
    for way, claim in ((Way.TO_BRIDGE, ""), (Way.TO_FAR_END, whatever)):
        yield "audio", f"{way.value}: ", observation.minis[way], claim


def _tell_frame(story: Story, seen: Observed) -> None:
    reading, datagram = seen.reading, seen.datagram
    header = f"{datagram.way.value}  {len(datagram.payload):3} octets  {_calls(reading)}"
    again = " (again)" if reading.retransmission else ""
    is_clear = reading.kind is Kind.CLEAR
    what = reading.name if is_clear else reading.kind.value
    story.frame(datagram.at, header, what + again, in_clear=is_clear)
    if is_clear:
        story.details(reading.fields)
        story.details("; ".join(f"{name} {text}" for name, text in reading.elements))


def _calls(reading: Reading) -> str:
    return f"call {reading.source_call_number:5} -> {reading.destination_call_number:<5}  "


def _steps(steps: Steps) -> str:
    octets = " or ".join(map(str, steps.octets)) or "no"
    text = f"{steps.count} frames of {octets} octets"
    if steps.median_ms is None or steps.central_ms is None:
        return text
    shortest_ms, longest_ms = steps.central_ms
    return (
        f"{text}, one each {steps.median_ms:.1f} ms "
        f"(98 % within {shortest_ms:.1f} to {longest_ms:.1f})"
    )


def _tell_search(story: Story, evidence: Evidence) -> None:
    observed = evidence.observation.observed
    octets = sum(len(seen.datagram.payload) for seen in observed)
    story.row(
        "search", f"for the number and the caller, in {len(observed)} frames, {octets} octets"
    )
    story.row("", f"as {_FORMS}")
    if evidence.found:
        story.row("", f"FOUND: {', '.join(evidence.found)}", "bold red")
    else:
        story.row("", "nothing found", "green")


def tell_far_end(story: Story, evidence: Evidence) -> None:
    """Show what the far end got."""
    story.heading("What the far end received")
    received = evidence.received
    if received is None:
        story.line("nothing", "bold red")
        return
    story.row(
        "in clear", f"user {received.username}, extension {received.called_number}, no caller"
    )
    story.row("encrypted", f"digits {received.digits or '(none)'}")


def tell_audio(story: Story, evidence: Evidence) -> None:
    """Show what was measured of the audio."""
    story.heading("Audio, as measured at each end")
    for label, passage in (
        ("phone -> far end", evidence.to_far_end),
        ("far end -> phone", evidence.to_phone),
    ):
        story.line(f"{label}: {'nothing' if passage is None else _passage(passage)}")


def _passage(passage: Passage) -> str:
    heard = passage.heard
    delay = "delay unknown"
    if passage.delay_p50_ms is not None and passage.delay_p99_ms is not None:
        delay = (
            f"one-way delay p50 {passage.delay_p50_ms:.1f} ms, p99 {passage.delay_p99_ms:.1f} ms"
        )
    return (
        f"1004 Hz sent at {passage.sent_dbm0:.1f} dBm0, heard at {heard.level_dbm0:.1f} dBm0, "
        f"{heard.share:.2%} pure\n{'':20}{passage.sent} frames sent, {passage.sent - passage.lost} "
        f"received, loss {passage.loss:.2%}, {heard.breaks} breaks in the tone\n{'':20}{delay}"
    )


def tell_verdict(story: Story, checks: Iterable[Check]) -> bool:
    """Show each check and the last word; returns whether all hold."""
    story.heading("Verdict")
    wrong = []
    for check in checks:
        story.check(check.subject, check.seen, holds=check.holds)
        if not check.holds:
            wrong.append(check.subject)
    if wrong:
        story.verdict(f"WRONG: {', '.join(wrong)}", good=False)
    else:
        story.verdict("All is well: the call went through, and the link tells nothing.", good=True)
    return not wrong


def tell_log(story: Story, entries: Iterable[Mapping[str, Any]]) -> None:
    """Show entries of the bridge's log, as text."""
    story.heading("The end of the bridge's log")
    for entry in entries:
        rest = {key: value for key, value in entry.items() if key not in _SHOWN_APART}
        details = ", ".join(f"{key} {value}" for key, value in rest.items() if value is not None)
        story.row(str(entry.get("level", "")), f"{entry.get('event', '')}: {details}", "dim")
