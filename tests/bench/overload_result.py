"""What came of an overload: figures, faults, and the table of docs/performance.md."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

LOSS_HELD_MAX: Final = 0.01
LOSS_END_MAX: Final = 0.001
AGAIN_MAX: Final = 0.2
"""Full frames sent again, for each call and second: a tenth of those that a call in peace sends."""
REFUSED_WITHIN_MS: Final = 500.0
"""Then a phone would repeat its INVITE (RFC 3261 section 17.1.1.2, T1)."""
TAKEN_AGAIN_MIN: Final = 0.9
_UNAVAILABLE: Final = "503"


@dataclass(frozen=True, slots=True)
class Second:
    """One second: of the phones' calls and frames, and of the far end's full frames.

    Attributes:
        placed, answered, refused, failed: Calls that began, and what became of any.
        established: Calls that were up at its end.
        sent, returned: Frames that phones sent in it, and those of them that came back at all.
        round_trip_ms: Of these, from phone to phone; None where none came back.
        full, again: Full frames that the far end got, and those among them that were sent again.
    """

    placed: int
    answered: int
    refused: int
    failed: int
    established: int
    sent: int
    returned: int
    round_trip_ms: Mapping[str, float] | None = field(repr=False)
    full: int
    again: int


@dataclass(frozen=True, slots=True)
class Spans:
    """The seconds before, in and behind an overload."""

    before: Sequence[Second]
    overload: Sequence[Second]
    held: Sequence[Second]
    newcomers: Sequence[Second]
    end: Sequence[Second]


@dataclass(frozen=True, slots=True)
class Overload:
    """One gateway's way through it.

    Attributes:
        load: All that the load generator reports.
        left: What the gateway counted when it had stopped; all zero unless it leaks.
    """

    gateway: str
    version: str
    yardstick_ms: float
    spans: Spans
    load: Mapping[str, Any] = field(repr=False)
    left: Mapping[str, int]

    @property
    def placed(self) -> int:
        """Calls of phones, newcomers included."""
        return int(self.load["started"])

    @property
    def accepted(self) -> int:
        """How many were answered."""
        return int(self.load["established"])

    @property
    def refused(self) -> int:
        """How many got 503."""
        return int(self.load["status"].get(_UNAVAILABLE, 0))

    @property
    def failed(self) -> int:
        """How many ended in any other way, answered ones included, than by their phone's BYE."""
        return self.placed - int(self.load["endings"]["normal"]) - self.refused

    @property
    def refusal_p99_ms(self) -> float:
        """From INVITE to its refusal; 0 where none was refused."""
        return float((self.load["refusal_ms"] or {}).get("p99", 0.0))

    @property
    def taken_again(self) -> float:
        """Share of the calls answered that came when half of the others had ended."""
        return _share(_sum(self.spans.newcomers, "answered"), _sum(self.spans.newcomers, "placed"))

    def figures(self) -> dict[str, Any]:
        """All that a reader wants to compare."""
        spans = self.spans
        return {
            "gateway": f"{self.gateway} ({self.version})",
            "calls_offered": self.placed,
            "accepted": self.accepted,
            "refused_by_503": self.refused,
            "of_them_with_Retry-After": self.load["retry_after"],
            "failed_otherwise": self.failed,
            "refused_within_p99_ms": round(self.refusal_p99_ms, 1),
            "held": spans.held[-1].established,
            "loss_before_percent": _percent(loss(spans.before)),
            "loss_in_overload_percent": _percent(loss(spans.overload)),
            "loss_held_percent": _percent(loss(spans.held)),
            "round_trip_before_p99_ms": round(slowest_ms(spans.before), 1),
            "round_trip_held_p99_ms": round(slowest_ms(spans.held), 1),
            "full_frames_before": round(per_call_second(spans.before, "full"), 2),
            "full_frames_in_overload": round(per_call_second(spans.overload, "full"), 2),
            "sent_again_before": round(per_call_second(spans.before, "again"), 3),
            "sent_again_in_overload": round(per_call_second(spans.overload, "again"), 3),
            "newcomers_accepted_percent": _percent(self.taken_again),
            "loss_at_the_end_percent": _percent(loss(spans.end)),
            "left": sum(self.left.values()),
            "yardstick_ms": round(self.yardstick_ms, 2),
        }

    def faults(self) -> list[str]:
        """Everything that is not as it should be, in words."""
        again = per_call_second([*self.spans.overload, *self.spans.held], "again")
        wrong = {
            f"{self.failed} calls failed otherwise than by 503": self.failed,
            "refused without Retry-After": self.load["retry_after"] < self.refused,
            f"refused within {self.refusal_p99_ms:.0f} ms": self.refusal_p99_ms > REFUSED_WITHIN_MS,
            f"calls held lost {loss(self.spans.held):.2%}": loss(self.spans.held) > LOSS_HELD_MAX,
            f"{again:.2f} frames sent again a call-second": again > AGAIN_MAX,
            f"{self.taken_again:.0%} taken again": self.taken_again < TAKEN_AGAIN_MIN,
            f"{loss(self.spans.end):.2%} lost at the end": loss(self.spans.end) > LOSS_END_MAX,
        }
        found = [text for text, is_wrong in wrong.items() if is_wrong]
        return found + [f"{name}: {count}" for name, count in self.left.items() if count]


def loss(span: Sequence[Second]) -> float:
    """Share of the frames sent in a span that never came back; 1 where none was sent.

    At its edges a frame may count in one second as sent, and as returned in the next.
    """
    return max(1 - _share(_sum(span, "returned"), _sum(span, "sent")), 0.0)


def per_call_second(span: Sequence[Second], what: str) -> float:
    """A count in a span for each call that was up and second."""
    return _share(_sum(span, what), _sum(span, "established"))


def slowest_ms(span: Sequence[Second]) -> float:
    """The worst second's 99th percentile from phone to phone; 0 where nothing came back."""
    return max((second.round_trip_ms["p99"] for second in span if second.round_trip_ms), default=0)


def table(results: Sequence[Mapping[str, Any]]) -> str:
    """Markdown with a column for each gateway."""
    names, *keys = dict.fromkeys(key for result in results for key in result)
    lines = [
        ("", *(str(result[names]) for result in results)),
        ("---", *("---:" for _ in results)),
        *((key.replace("_", " "), *(str(result[key]) for result in results)) for key in keys),
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _sum(span: Sequence[Second], what: str) -> int:
    return sum(getattr(second, what) for second in span)


def _share(part: float, whole: float) -> float:
    return part / whole if whole else 0.0


def _percent(share: float) -> float:
    return round(100 * share, 2)
