"""The demo's verdict: each claim fails by itself, and only when it is wrong."""

from dataclasses import replace
from typing import Any, Final, cast

import pytest

from bridge.audit.wire import Kind, Reading
from bridge.demo.audio import Heard, Passage
from bridge.demo.eavesdropper import Datagram, Way
from bridge.demo.observation import Observation, Observed, Steps
from bridge.demo.verdict import Ended, Evidence, Received, judge
from bridge.dialing.envelope import Envelope
from bridge.iax2 import Cause
from bridge.iax2.constants import ElementType

NUMBER: Final = "4930123456"
NEW: Final = Reading(Kind.CLEAR, 7, 0, name="NEW", elements=(("CALLED_NUMBER", "enc"),))
HEARD: Final = Heard(level_dbm0=-6.1, share=0.99, detected=True)
PASSAGE: Final = Passage(200, 0, 30.0, 45.0, -6.0, HEARD)
AUDIO: Final = Steps(200, (194,), 20.0, (18.0, 22.0))


def seen(*readings: Reading) -> tuple[Observed, ...]:
    datagram = Datagram(0, Way.TO_FAR_END, b"")
    return tuple(Observed(datagram, reading) for reading in readings)


OBSERVATION: Final = Observation(
    seen(NEW, Reading(Kind.ENCRYPTED)),
    dialing=Steps(26, (36,), 60.0, (58.0, 62.0)),
    after_dialing=Steps(8, (36,), 500.0, (498.0, 502.0)),
    dialing_ends=2,
    minis=dict.fromkeys(Way, AUDIO),
    clear_after_challenge=0,
    repeated_blocks=0,
)
GOOD: Final = Evidence(
    digits=NUMBER,
    extension="enc",
    envelope=Envelope(26, 60, (200, 600), "#"),
    answered_after_s=2.1,
    phone_end=(200, "OK"),
    received=Received("branch-7", "enc", NUMBER, Cause.NORMAL_CLEARING, over=True),
    observation=OBSERVATION,
    found=(),
    to_far_end=PASSAGE,
    to_phone=PASSAGE,
    logged=(),
    ended=Ended(0, 0.4, 0),
)
ALL: Final = (
    "phone",
    "number",
    "set-up",
    "encryption",
    "padding",
    "search",
    "dialing",
    "rhythm bridge -> far end",
    "rhythm far end -> bridge",
    "audio to the far end",
    "audio to the phone",
    "end",
    "log",
    "bridge",
)


def wrong(evidence: Evidence) -> list[str]:
    return [check.subject for check in judge(evidence) if not check.holds]


def heard(**changed: object) -> Passage:
    return replace(PASSAGE, heard=replace(HEARD, **cast("Any", changed)))


def observed(**changed: object) -> Observation:
    return replace(OBSERVATION, **cast("Any", changed))


def received(**changed: object) -> Received:
    assert GOOD.received is not None
    return replace(GOOD.received, **cast("Any", changed))


def leaking(element: ElementType) -> Observation:
    reading = replace(NEW, element_types=frozenset({element}))
    return observed(observed=seen(reading, Reading(Kind.ENCRYPTED)))


def test_all_is_well() -> None:
    checks = judge(GOOD)
    assert [check.subject for check in checks] == list(ALL)
    assert all(check.holds for check in checks)


def test_a_bridge_that_stays_up_is_not_judged_on_its_end() -> None:
    assert "bridge" not in [check.subject for check in judge(replace(GOOD, ended=None))]


@pytest.mark.parametrize(
    ("changed", "subject"),
    [
        ({"received": received(digits=NUMBER[:-1])}, "number"),
        ({"received": received(digits="")}, "number"),
        ({"extension": "other"}, "set-up"),
        ({"observation": observed(observed=seen(Reading(Kind.ENCRYPTED)))}, "set-up"),
        ({"observation": leaking(ElementType.CALLING_NUMBER)}, "set-up"),
        ({"observation": leaking(ElementType.DATETIME)}, "set-up"),
        ({"observation": observed(observed=seen(NEW))}, "encryption"),
        ({"observation": observed(clear_after_challenge=1)}, "encryption"),
        ({"observation": observed(repeated_blocks=1)}, "padding"),
        ({"found": ("the number as ASCII",)}, "search"),
        ({"observation": observed(dialing=Steps(25, (36,), 60.0, (60, 60)))}, "dialing"),
        ({"observation": observed(dialing=Steps(26, (36, 52), 60.0, (60, 60)))}, "dialing"),
        ({"observation": observed(dialing=Steps(26, (36,), 80.0, (80, 80)))}, "dialing"),
        ({"to_far_end": None}, "audio to the far end"),
        ({"to_phone": heard(detected=False)}, "audio to the phone"),
        ({"to_phone": heard(level_dbm0=-8.0)}, "audio to the phone"),
        ({"to_phone": replace(PASSAGE, lost=5)}, "audio to the phone"),
        ({"to_far_end": replace(PASSAGE, delay_p50_ms=151.0)}, "audio to the far end"),
        ({"received": received(over=False)}, "end"),
        ({"received": received(cause=Cause.USER_BUSY)}, "end"),
        ({"phone_end": None}, "end"),
        ({"phone_end": (408, "Request Timeout")}, "end"),
        ({"logged": ("the number",)}, "log"),
        ({"ended": Ended(1, 0.4, 0)}, "bridge"),
        ({"ended": Ended(0, 0.4, 1)}, "bridge"),
        ({"ended": Ended(0, 0.4, None)}, "bridge"),
        ({"ended": Ended(-9, None, None)}, "bridge"),
    ],
)
def test_one_thing_wrong(changed: dict[str, Any], subject: str) -> None:
    assert wrong(replace(GOOD, **changed)) == [subject]


def test_a_phone_that_is_refused_learns_no_other_end() -> None:
    refused = replace(GOOD, answered_after_s=None, phone_end=(503, "Service Unavailable"))
    assert wrong(refused) == ["phone", "end"]


@pytest.mark.parametrize("way", Way)
@pytest.mark.parametrize(
    "steps", [Steps(0, ()), Steps(200, (194, 196), 20.0, (20, 20)), Steps(99, (194,), 40.0, (0, 0))]
)
def test_a_wrong_rhythm(way: Way, steps: Steps) -> None:
    minis = {**OBSERVATION.minis, way: steps}
    assert wrong(replace(GOOD, observation=observed(minis=minis))) == [f"rhythm {way.value}"]


def test_a_call_that_never_was() -> None:
    nothing = Observation((), Steps(0, ()), Steps(0, ()), 0, dict.fromkeys(Way, Steps(0, ())), 0, 0)
    evidence = replace(
        GOOD,
        answered_after_s=None,
        phone_end=None,
        received=None,
        observation=nothing,
        to_far_end=None,
        to_phone=None,
    )
    assert set(wrong(evidence)) == set(ALL) - {"padding", "log", "bridge"}


def test_no_text_holds_the_number() -> None:
    other = replace(GOOD, received=received(digits=NUMBER[::-1]))
    for evidence in (GOOD, other):
        assert not any(NUMBER in check.seen for check in judge(evidence))
        assert NUMBER not in repr(evidence)
        assert NUMBER[::-1] not in repr(evidence)
