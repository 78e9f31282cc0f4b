"""Judges what was seen of a dialog: what leaks, what is weak, what is well hidden.

Pure. A leak tells of numbers, callers, content or keys; a weakness helps who wants them; a note is
what IAX2 shows of any call.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Final

from bridge.audit.observing import CALLER, SIGNALS_MAX, Observed, Side
from bridge.audit.promises import LinkPromise
from bridge.audit.signals import Burst, bursts_of
from bridge.iax2.constants import ElementType

ALIKE_MAX: Final = 8
"""Findings of one kind that are told one by one."""

_EMPTY: Final = "(empty)"
_DIGITS_MIN: Final = 3
_PRIVATE: Final = (
    (ElementType.CALLING_NUMBER, "caller-number", "the caller's number"),
    (ElementType.CALLING_ANI, "caller-number", "the caller's billing number"),
    (ElementType.CALLING_NAME, "caller-name", "the caller's name"),
    (ElementType.CALLED_CONTEXT, "context", "the dial plan's context"),
    (ElementType.DNID, "dialed-number", "the number that was dialed first"),
    (ElementType.RDNIS, "dialed-number", "the number that the call was forwarded from"),
    (ElementType.VARIABLE, "variable", "a channel variable"),
    (ElementType.PASSWORD, "password", "the password"),
)
_TELLTALE: Final = (ElementType.LANGUAGE, ElementType.DATETIME, ElementType.CALLINGANI2)
_PUBLIC: Final = (
    ElementType.USERNAME,
    ElementType.CODEC_PREFS,
    ElementType.FORMAT,
    ElementType.APPARENT_ADDR,
)
_REPEATS_MIN: Final = 3
_IN_CALL_MS: Final = 400.0
_CLOCK_MIN: Final = 8
_CLEAR_CONTROL: Final = frozenset({"INVAL", "CALLTOKEN", "NEW", "AUTHREQ", "PONG"})


class Severity(Enum):
    """How bad it is; only a leak makes the audit fail."""

    LEAK = "leak"
    WEAK = "weak"
    NOTE = "note"
    HIDDEN = "hidden"


@dataclass(frozen=True, slots=True)
class Finding:
    """One sentence.

    Attributes:
        severity: How bad it is.
        code: Stable, for machines.
        text: For people.
        at_ns: Where it has a place in time.
        side: Who sends what shows, "caller" or "callee"; None where it is the call as such.
    """

    severity: Severity
    code: str
    text: str
    at_ns: int | None = None
    side: str | None = None


def judge(
    seen: Observed, promise: LinkPromise | None = None, meta_frames: int = 0
) -> list[Finding]:
    """Return all findings of a dialog, the worst first."""
    found = [*_private(seen), *_dialed(seen, promise), *_public(seen), *_proof(seen)]
    if seen.kind == "call" or seen.encrypted:
        found += [*_content(seen, meta_frames)]
        for side in (seen.caller, seen.callee):
            found += (replace(finding, side=side.name) for finding in _of_side(side.name, side))
    bursts = {side.name: bursts_of(side.signals_ns) for side in (seen.caller, seen.callee)}
    for name in (side.name for side in (seen.caller, seen.callee) if side.has_more_signals):
        text = f"only the first {SIGNALS_MAX} signals of the {name} were looked at for digits"
        found.append(Finding(Severity.NOTE, "more-signals", text, side=name))
    if any(side.audio_encrypted for side in (seen.caller, seen.callee)):
        found += [_burst_finding(name, burst) for name in bursts for burst in bursts[name]]
    if promise is not None and seen.kind == "call":
        found += promise_findings(seen, promise, bursts[CALLER])
    if seen.cut:
        text = f"{seen.cut} packets were cut when they were captured: less can be told"
        found.append(Finding(Severity.NOTE, "cut-packets", text))
    order = list(Severity)
    return sorted(_few_alike(found), key=lambda finding: order.index(finding.severity))


def _few_alike(found: list[Finding]) -> Iterator[Finding]:
    """The first of each kind, and how many more there are: a capture may hold any number."""
    left = Counter((finding.code, finding.side) for finding in found)
    told: Counter[tuple[str, str | None]] = Counter()
    for finding in found:
        kind = (finding.code, finding.side)
        told[kind] += 1
        left[kind] -= 1
        if told[kind] <= ALIKE_MAX:
            yield finding
        elif told[kind] == ALIKE_MAX + 1:
            text = f"{finding.code}: {left[kind] + 1} more like these"
            yield replace(finding, text=text, at_ns=None)


def _private(seen: Observed) -> Iterator[Finding]:
    for element, code, what in _PRIVATE:
        for frame, value, sender in seen.told(element.name):
            if value != _EMPTY:
                text = f"{what} in clear in {frame}: {value}"
                yield Finding(Severity.LEAK, code, text, side=sender)


def _dialed(seen: Observed, promise: LinkPromise | None) -> Iterator[Finding]:
    for frame, value, sender in seen.told(ElementType.CALLED_NUMBER.name):
        expected = promise is not None and value == promise.extension
        if sum(map(str.isdigit, value)) >= _DIGITS_MIN and not expected:
            text = f"the dialed number in clear in {frame}: {value}"
            yield Finding(Severity.LEAK, "dialed-number", text, side=sender)
        else:
            text = f"the extension in clear: {value}"
            yield Finding(Severity.NOTE, "extension", text, side=sender)


def _public(seen: Observed) -> Iterator[Finding]:
    for element in _TELLTALE:
        if any(frame == "NEW" and value.strip("0") for frame, value in seen.values(element.name)):
            text = f"NEW has {element.name} in clear, which tells about the caller's side"
            yield Finding(Severity.WEAK, "telltale", text, side=CALLER)
    for element in _PUBLIC:
        for value in dict.fromkeys(value for _, value in seen.values(element.name)):
            yield Finding(Severity.NOTE, "public", f"{element.name} in clear: {value}")


def _proof(seen: Observed) -> Iterator[Finding]:
    registration = seen.kind == "registration"
    for frame, value, sender in seen.told(ElementType.MD5_RESULT.name):
        if registration:
            text = "the MD5 answer of a registration in clear: a weak secret can be guessed from it"
            yield Finding(Severity.WEAK, "md5-result", text, side=sender)
        else:
            text = (
                f"the MD5 answer in clear in {frame}: {value}. On an encrypted call it is the key"
            )
            yield Finding(Severity.LEAK, "md5-result", text, side=sender)
    for frame, value, sender in seen.told(ElementType.AUTHMETHODS.name):
        if "PLAINTEXT" in value:
            text = f"{frame} allows a password in plain text: {value}"
            yield Finding(Severity.WEAK, "plaintext-method", text, side=sender)
    if seen.encrypted and seen.values(ElementType.CHALLENGE.name):
        text = "the challenge and an answer to it: who records them can guess weak secrets at home"
        yield Finding(Severity.NOTE, "guessable", text)
    if any("KEY_ROTATION" in value for _, value in seen.values(ElementType.ENCRYPTION.name)):
        text = "key rotation is offered: an Asterisk's rotated keys are weak"
        yield Finding(Severity.WEAK, "rotation-offered", text)


def _content(seen: Observed, meta_frames: int) -> Iterator[Finding]:
    both = (seen.caller, seen.callee)
    if seen.digits:
        yield Finding(Severity.LEAK, "digits", f"digits in clear: {seen.digits}")
    for side in (side for side in both if side.audio_clear):
        text = f"the {side.name}'s audio in clear: anybody can listen"
        if seen.encrypted:
            text = f"audio of the {side.name} in clear on an encrypted call"
        yield Finding(Severity.LEAK, "clear-audio", text, side=side.name)
    if seen.encrypted and meta_frames:
        text = f"{meta_frames} trunk (meta) frames between these peers: their audio is in clear"
        yield Finding(Severity.LEAK, "meta-frames", text)
    if not seen.encrypted:
        yield Finding(Severity.LEAK, "not-encrypted", "the call is not encrypted")
        return
    yield _frames_after(seen)
    if seen.caller.repeats >= _REPEATS_MIN and not any(side.audio_encrypted for side in both):
        text = "frames repeated, and no audio: the two sides may have different secrets"
        yield Finding(Severity.NOTE, "secrets-differ", text)


def _frames_after(seen: Observed) -> Finding:
    """What the full frames since AUTHREQ are like."""
    beyond = {name: n for name, n in seen.clear_after.items() if name not in _CLEAR_CONTROL}
    if beyond:
        names = ", ".join(f"{n} {name}" for name, n in sorted(beyond.items()))
        text = f"full frames in clear after the encryption began: {names}"
        return Finding(Severity.LEAK, "clear-frames", text)
    text = "every frame after AUTHREQ is encrypted: digits, signals, audio and the caller"
    if not seen.values(ElementType.CHALLENGE.name):
        text = "what is seen is encrypted; the set-up is not in the capture"
    return Finding(Severity.HIDDEN, "all-encrypted", text)


def _of_side(name: str, side: Side) -> Iterator[Finding]:
    if side.repeated_blocks:
        text = (
            f"{side.repeated_blocks} frames of the {name} begin with a cipher block that was there"
            " before: equal audio, silence above all, or a repeated frame shows"
        )
        yield Finding(Severity.LEAK, "repeated-blocks", text)
    audio = side.audio_encrypted
    if not audio:
        return
    last_ns = side.audio_runs[-1][1]
    for at_ns in (at for at in side.rotations_ns if at < last_ns):
        if name == "callee" and at_ns < side.audio_runs[0][0] and at_ns == side.rotations_ns[0]:
            continue  # ACCEPT has this size too
        text = (
            f"the {name} seems to change its key: a frame of 52 octets, as RTKEY has, in the call"
        )
        yield Finding(Severity.WEAK, "rotation", text, at_ns)
    if not side.repeated_blocks:
        text = f"no two of {audio} audio frames of the {name} look alike: silence does not show"
        yield Finding(Severity.HIDDEN, "no-repeats", text)
    yield _constancy(name, side)


def _constancy(name: str, side: Side) -> Finding:
    sizes = len(side.audio_sizes)
    if sizes > 1:
        listed = ", ".join(map(str, sorted(side.audio_sizes)))
        text = f"the {name}'s audio has {sizes} sizes ({listed} octets): sizes tell what is said"
        return Finding(Severity.LEAK, "audio-sizes", text)
    if side.gaps:
        text = (
            f"the {name}'s audio pauses {side.gaps} times for over 60 ms: silence, hold or loss"
            " shows"
        )
        return Finding(Severity.LEAK, "audio-gaps", text, side.audio_runs[0][1])
    text = f"the {name}'s audio is one stream of one size without a pause"
    return Finding(Severity.HIDDEN, "constant-audio", text)


def _burst_finding(name: str, burst: Burst) -> Finding:
    if burst.is_envelope:
        text = (
            f"{burst.frames} signals of the {name}, one each {burst.spacing_ms:.0f} ms as from a"
            " clock: what they are does not show, nor how many mean something"
        )
        return Finding(Severity.HIDDEN, "steady-signals", text, burst.at_ns, name)
    if burst.steady and burst.frames >= _CLOCK_MIN and burst.spacing_ms > _IN_CALL_MS:
        text = f"{burst.frames} signals of the {name} on a clock of {burst.spacing_ms:.0f} ms"
        return Finding(Severity.HIDDEN, "steady-signals", text, burst.at_ns, name)
    text = (
        f"a burst of {burst.frames} signals of 36 octets from the {name}, {burst.spacing_ms:.0f} ms"
        f" apart: it suggests {burst.digits} digits"
    )
    return Finding(Severity.LEAK, "digit-count", text, burst.at_ns, name)


def promise_findings(
    seen: Observed, promise: LinkPromise, bursts: Sequence[Burst]
) -> Iterator[Finding]:
    """Compare a call with what the configuration of the caller's link promises."""
    for kept, what in _checks(seen, promise, bursts):
        severity = Severity.HIDDEN if kept else Severity.LEAK
        words = "as configured" if kept else "NOT as configured"
        code = "promise-kept" if kept else "promise-broken"
        yield Finding(severity, code, f"{words}: {what}", side=CALLER)


def _checks(
    seen: Observed, promise: LinkPromise, bursts: Sequence[Burst]
) -> Iterator[tuple[bool, str]]:
    yield seen.encrypted, "the call is encrypted"
    names = {value for _, value in seen.values(ElementType.CALLED_NUMBER.name)}
    if names:
        yield names == {promise.extension}, "only the link's extension is called"
    if not (seen.encrypted and seen.caller.audio_encrypted):
        return
    dialing = next((b for b in bursts if promise.is_dialing(b.spacing_ms)), None)
    shown = "none" if dialing is None else f"{dialing.frames} of {dialing.spacing_ms:.0f} ms"
    wanted = f"a dialing of {promise.slots} frames each {promise.slot_ms} ms (seen: {shown})"
    yield dialing is not None and dialing.frames == promise.slots, wanted
    later = [b for b in bursts if dialing is not None and b.at_ns > dialing.at_ns]
    clocked = all(b.steady and promise.is_in_call(b.spacing_ms) for b in later)
    yield clocked, "afterwards a signal each 500 ms"
    constant = len(seen.caller.audio_sizes) == 1 and not seen.caller.gaps
    yield constant, "audio of one size without a pause, whatever the phone does"
