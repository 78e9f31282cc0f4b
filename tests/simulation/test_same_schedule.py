"""Proof: what we send looks the same for every number and whatever the phone does.

Counts, sizes and times, to 0.1 ms, of all that the bridge sends in the first 10 s of a call. Its
audio moves once, by a few steps of 5 ms: when and how often it does is a part of what is the same,
how far is not (docs/security.md), and is taken out before anything is compared.
"""

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import pytest

from bridge.dialing.caller import CallerFormat
from bridge.dialing.plan import DialPlan, DigitLimits
from bridge.iax2 import CalleeCall, Format
from tests.lab.audible_calls import SILENCE, SPEECH, AudibleStage, SentFrame
from tests.lab.bridged_calls import ENVELOPE, START_DELAY_S, route, with_profile
from tests.lab.bridged_phone import Phone
from tests.lab.results import record, sized
from tests.leak.plan import CLASSES, plan_calls
from tests.simulation.network import Weather

WATCHED_S = 10.0
NUMBER = "4930123"
DIALING_FRAMES = 26
SIGNAL_OCTETS, MINI_OCTETS = 36, 194
SLOT_100US, STEP_100US, GRID_100US = 200, 50, 1000
COMPARED_100US = round(WATCHED_S * 10_000) - 2 * SLOT_100US
Behaviour = Callable[[AudibleStage], None]


def unmoved(sent: list[SentFrame], slots: int = DIALING_FRAMES) -> list[SentFrame]:
    """The frames as if the audio had stayed where it was; it has moved in its slot, if at all."""
    minis = [frame for frame in sent if not frame.full]
    start = minis[0].after_100us
    pairs = list(pairwise(minis))
    moves = [(after, after.after_100us - before.after_100us) for before, after in pairs]
    moves = [(frame, gap) for frame, gap in moves if gap % SLOT_100US]
    if not moves:
        return [frame for frame in sent if frame.after_100us < COMPARED_100US]
    ((moved, gap),) = moves
    shift = gap - SLOT_100US
    assert shift % STEP_100US == 0
    assert -SLOT_100US < shift < SLOT_100US
    dialed = start + round(10_000 * (START_DELAY_S + slots * 0.06 + 1.0))
    assert 0 <= moved.after_100us - shift - dialed <= 7 * SLOT_100US + GRID_100US
    back = [
        replace(frame, after_100us=frame.after_100us - shift)
        if not frame.full and frame.after_100us >= moved.after_100us
        else frame
        for frame in sent
    ]
    back.sort(key=lambda frame: (frame.after_100us, not frame.full))
    return [frame for frame in back if frame.after_100us < COMPARED_100US]


def schedule(
    number: str, phone: Behaviour | None = None, weather: Weather | None = None
) -> list[SentFrame]:
    with AudibleStage(weather) as stage:
        dialed = stage.dial_number(number)
        if phone is None:
            stage.speak(SPEECH, 0.1, WATCHED_S)
        else:
            phone(stage)
        stage.run(WATCHED_S)
        assert dialed.got[-1] == 200
        assert stage.far.digits == f"{number}#"
        return unmoved(stage.sent)


@pytest.fixture(scope="module")
def talking() -> list[SentFrame]:
    return schedule(NUMBER)


def test_all_numbers_look_the_same(talking: list[SentFrame]) -> None:
    plan = plan_calls(sized(20, 200))
    for planned in plan:
        assert schedule(planned.number) == talking, f"{planned.digits} digits show"
    record(
        "our own frames in virtual time",
        {"calls": len(plan), "classes": len(CLASSES), "frames_each": len(talking), "different": 0},
    )


def test_all_callers_look_the_same_where_they_are_sent() -> None:
    seen = []
    caller_format = CallerFormat.parse("*{caller}*{called}#", "#")
    limits = {"hq": DigitLimits(43, "#", caller_format)}
    for caller, digits in (("", 0), ("1001", 3), ("anonymous", 11), ("4" * 15, 24), ("1", 40)):
        with AudibleStage() as stage:
            stage.link.envelope = replace(ENVELOPE, slots=44)
            stage.switchboard._plan = DialPlan([route("8(.*)")], limits)
            stage.dial_number("3" * digits, caller)
            stage.speak(SPEECH, 0.1, WATCHED_S)
            stage.run(WATCHED_S)
            called = caller.replace("anonymous", "")
            assert stage.far.digits == f"*{called}*{'3' * digits}#"
            seen.append(unmoved(stage.sent, slots=44))
    assert all(each == seen[0] for each in seen)


def test_a_far_end_of_our_engine_reacts_to_no_number() -> None:
    """Unlike an Asterisk, whose audio begins with the terminator (docs/security.md)."""
    seen = []
    for digits in CLASSES:
        with AudibleStage() as stage:
            stage.dial_number("3" * digits)
            stage.run(WATCHED_S)
            seen.append(stage.answered)
    assert len(seen[0]) > DIALING_FRAMES
    assert all(each == seen[0] for each in seen)


@pytest.mark.parametrize("digits", [0, 1, 24, 25])
def test_the_shortest_and_the_longest_number_look_the_same(
    talking: list[SentFrame], digits: int
) -> None:
    assert schedule("7" * digits) == talking


@pytest.mark.parametrize("loss", [0.1, 0.25])
def test_retransmissions_look_the_same(talking: list[SentFrame], loss: float) -> None:
    weather = Weather(loss=loss, delay_s=0.02)
    seen = [schedule("1" * digits, weather=weather) for digits in CLASSES]
    assert all(each == seen[0] for each in seen)
    signals = [len([f for f in each if f.octets == SIGNAL_OCTETS]) for each in (seen[0], talking)]
    assert signals[0] > signals[1], "nothing was sent again"


def silent(_stage: AudibleStage) -> None:
    pass


def muted(stage: AudibleStage) -> None:
    stage.speak(SILENCE, 0.1, WATCHED_S)


def suppressing_silence(stage: AudibleStage) -> None:
    for second in range(2, int(WATCHED_S), 2):
        stage.speak(SPEECH, second, second + 1)


def packing_otherwise(stage: AudibleStage) -> None:
    for second, packet_ms in enumerate((10, 30, 40, 60), start=1):
        stage.speak_in_packets(packet_ms, 2 * second, 2 * second + 1)


def jittery(stage: AudibleStage) -> None:
    stage.speak(SPEECH, 0.2, WATCHED_S, early_s=0.03)


def dead(stage: AudibleStage) -> None:
    stage.speak(SPEECH, 0.1, 4.0)


@pytest.mark.parametrize(
    "phone", [silent, muted, suppressing_silence, packing_otherwise, jittery, dead]
)
def test_phones_look_the_same(talking: list[SentFrame], phone: Behaviour) -> None:
    assert schedule(NUMBER, phone) == talking


@pytest.mark.parametrize("direction", ["sendonly", "inactive"])
def test_hold_looks_the_same(talking: list[SentFrame], direction: str) -> None:
    with AudibleStage() as stage:
        phone = stage.dial_number(NUMBER)
        stage.speak(SPEECH, 0.1, 4.0)
        stage.run(4.0)
        phone.leg.established()
        assert phone.offers(direction, stage.offer())
        stage.run(WATCHED_S - 6.0)
        assert phone.offers("sendrecv", stage.offer())
        stage.speak(SPEECH, 0.1, 2.0)
        stage.run(2.0)
        assert unmoved(stage.sent) == talking


def test_keys_pressed_in_the_call_look_the_same(talking: list[SentFrame]) -> None:
    with AudibleStage() as stage:
        stage.dial_number(NUMBER)
        stage.speak(SPEECH, 0.1, WATCHED_S)
        for press in range(6):
            stage.later(3.0 + press * 0.23, lambda: stage.bridged.media.on_digit("5"))
        stage.run(WATCHED_S)
        assert stage.far.digits == f"{NUMBER}#555555"
        assert unmoved(stage.sent) == talking


@pytest.mark.parametrize("dialed", [NUMBER, "5"])
def test_redialing_looks_the_same(talking: list[SentFrame], dialed: str) -> None:
    with AudibleStage() as stage:
        for number in (NUMBER, dialed, NUMBER):
            phone = stage.dial_number(number)
            stage.speak(SPEECH, 0.1, WATCHED_S)
            stage.run(WATCHED_S)
            assert unmoved(stage.sent) == talking
            stage.far.digits = ""
            phone.bye()
            stage.run(WATCHED_S)


def cancelled(_stage: AudibleStage, phone: Phone) -> None:
    phone.cancel()


def leg_failed(_stage: AudibleStage, phone: Phone) -> None:
    phone.leg.disconnected(408, "Request Timeout", None)


def shut_down(stage: AudibleStage, _phone: Phone) -> None:
    stage.switchboard.shut_down()


def failed(stage: AudibleStage, _phone: Phone) -> None:
    stage.switchboard.fail(stage.bridged.media)


Ending = Callable[[AudibleStage, Phone], None]
ENDINGS = [cancelled, leg_failed, shut_down, failed]


@pytest.mark.parametrize("tail", [False, True])
@pytest.mark.parametrize("after_s", [0.13, 0.5, 1.0, 1.9])
@pytest.mark.parametrize("end", ENDINGS)
def test_calls_that_end_while_dialing_look_the_same_until_it_is_over(
    talking: list[SentFrame], end: Ending, after_s: float, *, tail: bool
) -> None:
    with AudibleStage(tail=tail) as stage:
        phone = stage.dial_number(NUMBER)
        stage.speak(SPEECH, 0.1, WATCHED_S)
        stage.run(after_s)
        stage.drawn = 2.5
        end(stage, phone)
        assert phone.leg.is_over
        stage.run(WATCHED_S)
        assert "#" not in stage.far.digits
        assert not stage.switchboard.live_calls
    *before, hung_up = unmoved(stage.sent)
    assert before == talking[: len(before)]
    over = last_of_dialing(talking)
    assert hung_up.after_100us - over.after_100us == (5000 if not tail else 15_000)


def test_a_codec_that_the_phone_lacks_looks_the_same_until_hangup(
    talking: list[SentFrame],
) -> None:
    with AudibleStage() as stage:
        with_profile(stage, formats=(Format.ULAW, Format.G722))
        stage.far.behave = lambda call: accept_g722(stage, call)
        phone = stage.dial_number(NUMBER)
        stage.speak(SPEECH, 0.1, WATCHED_S)
        stage.run(WATCHED_S)
        assert phone.got[-1] == 488
        assert stage.far.digits == ""
    *before, hung_up = unmoved(stage.sent)
    assert before == talking[: len(before)]
    assert hung_up.after_100us - last_of_dialing(talking).after_100us == 5000


def accept_g722(stage: AudibleStage, call: CalleeCall) -> None:
    call.accept(Format.G722, stage.now)
    call.answer(stage.now)


@pytest.mark.parametrize("end", ENDINGS)
def test_a_tail_looks_the_same_until_hangup(talking: list[SentFrame], end: Ending) -> None:
    with AudibleStage(tail=True) as stage:
        phone = stage.dial_number(NUMBER)
        stage.speak(SPEECH, 0.1, 4.0)
        stage.run(4.0)
        stage.drawn = 2.5
        end(stage, phone)
        stage.run(WATCHED_S)
    *before, hung_up = unmoved(stage.sent)
    assert before == talking[: len(before)]
    in_call = [frame for frame in before if frame.full and frame.octets == SIGNAL_OCTETS]
    assert hung_up.after_100us - in_call[-1].after_100us == 5000


def test_the_shape_is_the_one_that_is_described(talking: list[SentFrame]) -> None:
    minis = [frame for frame in talking if not frame.full]
    assert {frame.octets for frame in minis} == {MINI_OCTETS}
    gaps = {b.after_100us - a.after_100us for a, b in pairwise(minis)}
    assert gaps <= {200, 400}  # 20 ms; 40 ms where a full frame of voice stands between
    dialing = [frame for frame in talking if frame.full and frame.octets == SIGNAL_OCTETS]
    first = first_of_dialing(dialing)
    slots = dialing[first : first + DIALING_FRAMES]
    assert {b.after_100us - a.after_100us for a, b in pairwise(slots)} == {600}


def first_of_dialing(signals: list[SentFrame]) -> int:
    return next(n for n, frame in enumerate(signals) if is_slot(signals, n, frame))


def is_slot(frames: list[SentFrame], number: int, frame: SentFrame) -> bool:
    following = frames[number + 1 : number + 2]
    return bool(following) and following[0].after_100us - frame.after_100us == 600


def last_of_dialing(frames: list[SentFrame]) -> SentFrame:
    signals = [frame for frame in frames if frame.full and frame.octets == SIGNAL_OCTETS]
    return signals[first_of_dialing(signals) + DIALING_FRAMES - 1]
