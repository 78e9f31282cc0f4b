"""The call of the demo: who does what when, and what is kept of it as evidence."""

import secrets
import string
from dataclasses import dataclass, field
from typing import Any, Final, Self

import trio

from bridge.demo.audio import Heard, Passage, measure_passage
from bridge.demo.eavesdropper import Eavesdropper
from bridge.demo.far_end import FarEnd, FarEndCall
from bridge.demo.observation import observe
from bridge.demo.phone import PhoneEvent, PhoneOrder
from bridge.demo.processes import BridgeProcess, PhoneProcess
from bridge.demo.search import find_text
from bridge.demo.stage import HOST, PREFIX, DemoError, Stage
from bridge.demo.story import Story
from bridge.demo.verdict import Ended, Evidence, Received

TALK_S: Final = 4.0
ANSWERED_WITHIN_S: Final = 15.0
REPORTED_WITHIN_S: Final = 6.0
FAR_END_TOLD_WITHIN_S: Final = 3.0
PHONE_DBM0: Final = -6.0
FAR_END_DBM0: Final = -12.0
"""Another level than the phone's: an echo of its own tone is not taken for this one."""

_NUMBER_DIGITS: Final = (10, 14)
_CALLER_DIGITS: Final = 10
_LEFT_OVER: Final = ("calls_left", "link_calls_left", "media_left", "sip_legs_left")


@dataclass(frozen=True, slots=True)
class Cast:
    """Everybody on the stage, and who tells the story."""

    stage: Stage
    far_end: FarEnd
    eavesdropper: Eavesdropper
    phone: PhoneProcess
    bridge: BridgeProcess
    story: Story


@dataclass(frozen=True, slots=True)
class Dialed:
    """Who calls whom: random digits, new for each demo."""

    number: str = field(repr=False)
    caller: str = field(repr=False)

    @classmethod
    def at_random(cls) -> Self:
        """Draw a number of 10 to 14 digits, and a caller."""
        fewest, most = _NUMBER_DIGITS
        return cls(_digits(fewest + secrets.randbelow(most - fewest + 1)), _digits(_CALLER_DIGITS))


def _digits(count: int) -> str:
    return "".join(secrets.choice(string.digits) for _ in range(count))


@dataclass(frozen=True, slots=True)
class CallRecord:
    """What is left of the call.

    Attributes:
        dialed: Who called whom.
        phone: All that the phone told.
        received: The call at the far end, None where none came.
    """

    dialed: Dialed
    phone: PhoneProcess
    received: FarEndCall | None


async def play_call(cast: Cast) -> CallRecord:
    """Let the phone call, talk and hang up, and tell each step as it happens.

    Raises:
        DemoError: There is no working phone.
    """
    dialed = Dialed.at_random()
    order = PhoneOrder(
        host=HOST,
        port=cast.stage.sip_port,
        called=PREFIX + dialed.number,
        caller=dialed.caller,
        sends_dbm0=PHONE_DBM0,
        hears_dbm0=FAR_END_DBM0,
    )
    teller = _Teller(cast.story, dialed)
    cast.far_end.on_dialed, cast.far_end.on_over = teller.far_end_dialed, teller.far_end_over
    cast.phone.on_event = teller.phone_told
    await cast.phone.order(order)
    await _talk(cast.phone, teller)
    received = cast.far_end.calls[0] if cast.far_end.calls else None
    if received is not None:
        with trio.move_on_after(FAR_END_TOLD_WITHIN_S):
            await received.over.wait()
    return CallRecord(dialed, cast.phone, received)


async def _talk(phone: PhoneProcess, teller: "_Teller") -> None:
    outcome = await phone.wait_for(
        PhoneEvent.ANSWERED, PhoneEvent.ENDED, within_s=ANSWERED_WITHIN_S
    )
    if phone.told(PhoneEvent.CALLING) is None:
        raise DemoError("the phone does not start; it says:\n" + "\n".join(phone.complaints))
    if outcome is not None and outcome["event"] == PhoneEvent.ANSWERED:
        await trio.sleep(TALK_S)
        teller.hangs_up()
    await phone.hang_up()
    await phone.wait_for(PhoneEvent.REPORT, within_s=REPORTED_WITHIN_S)


class _Teller:
    """Turns what happens into steps of the story."""

    def __init__(self, story: Story, dialed: Dialed) -> None:
        self._story = story
        self._dialed = dialed

    def phone_told(self, event: dict[str, Any]) -> None:
        """Tell what the phone did."""
        match event["event"]:
            case PhoneEvent.CALLING:
                self._story.begin_clock(event["at"])
                text = f"{self._dialed.caller} dials {PREFIX} {self._dialed.number}"
            case PhoneEvent.MEDIA:
                text = "can hear the far end (183): link up, encrypted both ways"
            case PhoneEvent.ANSWERED:
                text = f"is answered (200): both talk for {TALK_S:.0f} s"
            case PhoneEvent.ENDED:
                text = f"is out of the call: {event['status']} {event['reason']}"
            case _:
                return
        self._story.step(event["at"], "phone", text)

    def hangs_up(self) -> None:
        """Tell that the phone is about to hang up."""
        self._story.step_now("phone", "hangs up (BYE)")

    def far_end_dialed(self, call: FarEndCall) -> None:
        """Tell what the far end has received."""
        self._story.step_now("far end", f"has received {call.digits} and the terminator")

    def far_end_over(self, call: FarEndCall) -> None:
        """Tell why the far end's call is over."""
        self._story.step_now("far end", f"{call.end}, cause {call.cause}")


def gather_evidence(cast: Cast, record: CallRecord, *, with_end: bool) -> Evidence:
    """Put everything together that was seen; `with_end` where the bridge has ended."""
    link = cast.stage.link
    calling = record.phone.told(PhoneEvent.CALLING)
    answered = record.phone.told(PhoneEvent.ANSWERED)
    over = record.phone.told(PhoneEvent.ENDED)
    to_far_end, to_phone = _passages(record)
    return Evidence(
        digits=record.dialed.number,
        extension=link.extension,
        envelope=link.envelope,
        answered_after_s=answered["at"] - calling["at"] if calling and answered else None,
        phone_end=(over["status"], over["reason"]) if over else None,
        received=_received(record.received),
        observation=observe(cast.eavesdropper.datagrams),
        found=_found(cast.eavesdropper, record.dialed),
        to_far_end=to_far_end,
        to_phone=to_phone,
        logged=_logged(cast, record.dialed),
        ended=_ended(cast.bridge) if with_end else None,
    )


def _passages(record: CallRecord) -> tuple[Passage | None, Passage | None]:
    """Measure the audio to the far end and to the phone; None where there was no call."""
    report, call = record.phone.told(PhoneEvent.REPORT), record.received
    if report is None or call is None:
        return None, None
    since, until = report["since"], report["until"]
    heard = call.audio.heard(since, until)
    return (
        measure_passage(report["sent_at"], heard, PHONE_DBM0, since, until),
        measure_passage(
            call.audio.sent_at, Heard.from_json(report["heard"]), FAR_END_DBM0, since, until
        ),
    )


def _received(call: FarEndCall | None) -> Received | None:
    if call is None:
        return None
    return Received(call.username, call.called_number, call.digits, call.cause, call.over.is_set())


def _found(eavesdropper: Eavesdropper, dialed: Dialed) -> tuple[str, ...]:
    datagrams = [(each.way, each.payload) for each in eavesdropper.datagrams]
    return tuple(
        f"the {name} as {form}"
        for name, text in (("number", dialed.number), ("caller", dialed.caller))
        for form in find_text(datagrams, text)
    )


def _logged(cast: Cast, dialed: Dialed) -> tuple[str, ...]:
    """Return what the bridge has written though it must not; empty texts would be in anything."""
    written = "\n".join(cast.bridge.output)
    unspeakable = {
        "the number": dialed.number,
        "the caller": dialed.caller,
        "the secret": cast.stage.secret,
    }
    return tuple(name for name, text in unspeakable.items() if text in written)


def _ended(bridge: BridgeProcess) -> Ended:
    entry = bridge.entry("stopped")
    left_over = sum(entry.get(name, 0) for name in _LEFT_OVER) if entry else None
    return Ended(bridge.exit_code, bridge.stop_s, left_over)
