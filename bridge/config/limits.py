"""The section `limits`: how many calls there may be, and how long one may last."""

from typing import Annotated, Final

from pydantic import Field

from bridge.config import values
from bridge.config.section import Section

CALLS_MAX: Final = 32_000
"""As many as an IAX2 endpoint has call numbers for, roughly."""


class Limits(Section):
    """Bounds on calls; without a value there is none but those of ports and call numbers."""

    calls_max: Annotated[int, values.whole_number(1, CALLS_MAX)] | None = Field(
        None, description="calls at a time, in both directions and over all links"
    )
    phone_calls_max: Annotated[int, values.whole_number(1, CALLS_MAX)] | None = Field(
        None, description="calls at a time that one phone has placed"
    )
    phone_calls_per_s: Annotated[int, values.whole_number(1, 1000)] | None = Field(
        None, description="calls that one phone may place in any second"
    )
    duration_s: Annotated[float, values.seconds(1, 604_800)] | None = Field(
        None, description="a call that is up for so long is ended"
    )
