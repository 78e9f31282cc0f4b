"""Judges the demo's call: every claim that it makes, held against what was measured.

Pure: evidence in, checks out. The texts of checks hold no number and no secret.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from bridge.audit.wire import CALLER_ELEMENTS, SIGNAL_OCTETS
from bridge.demo.audio import Passage
from bridge.demo.eavesdropper import Way
from bridge.demo.observation import Observation, Steps
from bridge.dialing.envelope import Envelope
from bridge.iax2 import Cause

LOSS_MAX: Final = 0.02
"""Between ends on one machine nothing is lost on the way; a busy one makes clocks slip."""
DELAY_P50_MAX_MS: Final = 150.0
"""What ITU-T G.114 finds good for a conversation."""
LEVEL_TOLERANCE_DB: Final = 1.0
VOICE_MS: Final = 20.0
STEP_TOLERANCE: Final = 0.1
STOP_S: Final = 3.0
"""What the bridge promises for its end."""

_ANSWERED: Final = 200


@dataclass(frozen=True, slots=True)
class Received:
    """What the far end got: the user and extension in clear, the digits inside the encryption."""

    username: str
    called_number: str = field(repr=False)
    digits: str = field(repr=False)
    cause: int | None = None
    over: bool = False


@dataclass(frozen=True, slots=True)
class Ended:
    """How the bridge ended: its exit code, within how many seconds, and what it had left over.

    `stop_s` is None where it had to be killed, `left_over` where it did not say.
    """

    exit_code: int | None
    stop_s: float | None
    left_over: int | None


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that was seen of the call.

    Attributes:
        digits: What the far end should receive.
        extension: The extension that NEW should name, and nothing else.
        envelope: The shape that the dialing should have.
        answered_after_s: From INVITE to 200; None where the phone was not answered.
        phone_end: Status and reason that the phone's leg ended with.
        received: What the far end got; None where no call reached it.
        observation: What the eavesdropper made of the link.
        found: In which forms number or caller stand on the link.
        to_far_end, to_phone: What became of the audio.
        logged: What the bridge's log or output tells though it must not.
        ended: How the bridge ended; None where it goes on.
    """

    digits: str = field(repr=False)
    extension: str
    envelope: Envelope
    answered_after_s: float | None
    phone_end: tuple[int, str] | None
    received: Received | None
    observation: Observation
    found: tuple[str, ...]
    to_far_end: Passage | None
    to_phone: Passage | None
    logged: tuple[str, ...]
    ended: Ended | None


@dataclass(frozen=True, slots=True)
class Check:
    """One claim: what it is about, whether it holds, and what was seen."""

    subject: str
    holds: bool
    seen: str


def judge(evidence: Evidence) -> tuple[Check, ...]:
    """Hold every claim of the demo against the evidence."""
    return (
        _phone(evidence),
        _digits(evidence),
        *_link(evidence.observation, evidence.extension),
        _search(evidence),
        _dialing(evidence.observation, evidence.envelope),
        *(_minis(way, steps) for way, steps in evidence.observation.minis.items()),
        _audio("audio to the far end", evidence.to_far_end),
        _audio("audio to the phone", evidence.to_phone),
        _hang_up(evidence),
        _log(evidence),
        *_end(evidence),
    )


def _phone(evidence: Evidence) -> Check:
    if evidence.answered_after_s is not None:
        seen = f"answered after {evidence.answered_after_s:.2f} s, when the digits were through"
        return Check("phone", holds=True, seen=seen)
    if evidence.phone_end is None:
        return Check("phone", holds=False, seen="neither answered nor refused")
    status, reason = evidence.phone_end
    return Check("phone", holds=False, seen=f"refused with {status} {reason}")


def _digits(evidence: Evidence) -> Check:
    received = evidence.received
    if received is None:
        return Check("number", holds=False, seen="no call has reached the far end")
    wanted, got = len(evidence.digits), len(received.digits)
    if received.digits == evidence.digits:
        return Check("number", holds=True, seen=f"the far end has exactly the {wanted} digits")
    seen = f"the far end has other digits: {got} came of {wanted}"
    return Check("number", holds=False, seen=seen)


def _link(observation: Observation, extension: str) -> Iterator[Check]:
    clear = observation.clear
    names = [reading.name for reading in clear]
    told = sorted(t.name for t in CALLER_ELEMENTS if any(t in r.element_types for r in clear))
    called = {text for r in clear for name, text in r.elements if name == "CALLED_NUMBER"}
    only_extension = "NEW" in names and not told and called == {extension}
    tells = ", ".join(told) or f"it names {len(called)} extensions, or another one"
    yield Check(
        "set-up",
        only_extension,
        f"NEW names the extension {extension!r}, and nobody who calls or is called"
        if only_extension
        else f"NEW tells too much, or is missing: {tells}",
    )
    encrypted = len(observation.observed) - len(clear)
    leaks = observation.clear_after_challenge
    yield Check(
        "encryption",
        encrypted > 0 and leaks == 0,
        f"of {len(observation.observed)} frames {len(clear)} in clear, "
        + (f"{leaks} of them after the challenge" if leaks else "none after the challenge"),
    )
    repeated = observation.repeated_blocks
    yield Check(
        "padding",
        repeated == 0,
        f"{repeated or 'no'} block of ciphertext stands there twice, though the tone repeats",
    )


def _search(evidence: Evidence) -> Check:
    if not evidence.observation.observed:
        return Check("search", holds=False, seen="nothing was captured, which proves nothing")
    if evidence.found:
        return Check("search", holds=False, seen=f"found on the link: {', '.join(evidence.found)}")
    return Check("search", holds=True, seen="neither number nor caller stands in any octet")


def _dialing(observation: Observation, envelope: Envelope) -> Check:
    steps = observation.dialing
    seen = f"{steps.count} frames of {_octets(steps)}"
    if steps.median_ms is not None:
        seen += f", one each {steps.median_ms:.0f} ms, as for every number"
    alike = steps.octets == (SIGNAL_OCTETS,) and steps.count == envelope.slots
    return Check("dialing", alike and _is_near(steps, envelope.slot_ms), seen)


def _minis(way: Way, steps: Steps) -> Check:
    seen = f"{steps.count} frames of {_octets(steps)}"
    if steps.median_ms is not None:
        seen += f", one each {steps.median_ms:.1f} ms"
    holds = len(steps.octets) == 1 and _is_near(steps, VOICE_MS)
    return Check(f"rhythm {way.value}", holds, seen)


def _is_near(steps: Steps, wanted_ms: float) -> bool:
    return (
        steps.median_ms is not None
        and abs(steps.median_ms - wanted_ms) <= wanted_ms * STEP_TOLERANCE
    )


def _octets(steps: Steps) -> str:
    return f"{' or '.join(map(str, steps.octets)) or 'no'} octets"


def _audio(subject: str, passage: Passage | None) -> Check:
    if passage is None:
        return Check(subject, holds=False, seen="none was measured")
    wrong = tuple(_faults(passage))
    seen = "; ".join(wrong) or "the tone arrives, pure, complete and in time"
    return Check(subject, not wrong, seen)


def _faults(passage: Passage) -> Iterator[str]:
    heard = passage.heard
    if not heard.detected:
        yield "no 1004 Hz tone was detected"
    elif abs(heard.level_dbm0 - passage.sent_dbm0) > LEVEL_TOLERANCE_DB:
        yield f"sent at {passage.sent_dbm0:.1f} dBm0, heard at {heard.level_dbm0:.1f}"
    if passage.loss > LOSS_MAX:
        yield f"{passage.lost} of {passage.sent} frames are lost"
    if passage.delay_p50_ms is not None and passage.delay_p50_ms > DELAY_P50_MAX_MS:
        yield f"the delay is {passage.delay_p50_ms:.0f} ms"


def _hang_up(evidence: Evidence) -> Check:
    received, phone_end = evidence.received, evidence.phone_end
    if received is None or not received.over:
        return Check("end", holds=False, seen="the far end was not told that the call is over")
    if phone_end is None or phone_end[0] != _ANSWERED:
        return Check("end", holds=False, seen="the phone's goodbye was not answered")
    holds = received.cause == Cause.NORMAL_CLEARING
    seen = f"the phone hung up, and the far end was told: cause {received.cause}"
    return Check("end", holds, seen)


def _log(evidence: Evidence) -> Check:
    if evidence.logged:
        return Check(
            "log", holds=False, seen=f"the bridge has written {', '.join(evidence.logged)}"
        )
    seen = "at its most verbose it holds neither number, caller nor secret"
    return Check("log", holds=True, seen=seen)


def _end(evidence: Evidence) -> Iterator[Check]:
    ended = evidence.ended
    if ended is None:
        return
    if ended.stop_s is None:
        yield Check("bridge", holds=False, seen=f"did not end within {STOP_S:.0f} s of SIGTERM")
    elif ended.exit_code != 0 or ended.left_over != 0:
        left = "an unknown number of" if ended.left_over is None else ended.left_over
        seen = f"ended with exit code {ended.exit_code} and left {left} parts of calls behind"
        yield Check("bridge", holds=False, seen=seen)
    else:
        seen = f"ended {ended.stop_s:.2f} s after SIGTERM, and left nothing behind"
        yield Check("bridge", holds=True, seen=seen)
