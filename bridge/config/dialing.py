"""What a link sends to dial: the shape of the burst, and whether it tells who calls."""

import re
from typing import Annotated, Final

from pydantic import Field, PlainValidator

from bridge.config import values
from bridge.config.section import Section
from bridge.config.values import expected
from bridge.dialing.plan import DTMF_DIGITS

START_MS_MAX: Final = 5000
SLOTS: Final = 26
"""For 24 digits with room for one more, and the terminator."""
SLOTS_WITH_CALLER: Final = 44
"""For a caller of 15 digits and 24 more, two signs, room for two more, and the terminator."""


def _start_range(value: object) -> tuple[int, int]:
    match value:
        case [low, high] if all(re.fullmatch("[0-9]{1,5}", str(part)) for part in value):
            if int(str(low)) <= int(str(high)) <= START_MS_MAX:
                return int(str(low)), int(str(high))
    raise expected(
        f"[shortest, longest] in ms, the shortest first, from 0 to {START_MS_MAX}, like [200, 600]"
    )


def _terminator(value: object) -> str:
    if isinstance(value, str) and value in DTMF_DIGITS:
        return value
    raise expected('one DTMF digit: 0-9, "*", "#" or A-D, in quotes, like "#"')


class Dialing(Section):
    """The envelope that hides the number: the same burst of frames for every call of a link."""

    slots: Annotated[int, values.whole_number(2, 128)] | None = Field(
        None,
        description="frames in the burst: one for each digit, one for the terminator; none: "
        f"{SLOTS}, or {SLOTS_WITH_CALLER} where the caller is sent",
    )
    slot_ms: Annotated[int, values.whole_number(20, 500)] = Field(
        60, description="time from one of these frames to the next, in ms"
    )
    start_ms: Annotated[tuple[int, int], PlainValidator(_start_range)] = Field(
        (200, 600), description="range of the random delay from the answer to the burst, in ms"
    )
    terminator: Annotated[str, PlainValidator(_terminator)] = Field(
        "#", description="the digit that ends the number, always in the last slot"
    )


class CallerId(Section):
    """Whether the far end learns who calls, and how the burst tells it."""

    send: values.Flag = Field(
        default=False, description="send the caller's number inside the encryption"
    )
    format: str = Field(
        "*{caller}*{called}#",
        description="how caller and called number stand in the burst, the terminator last",
    )
