"""What is dialed, in which order, and which half of it the classifier learns from: data alone.

All of it follows from a seed that is fixed here, before anything is recorded.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Final

CLASSES: Final = (3, 7, 11, 15, 24)
"""Counts of digits that a listener might want to tell apart."""
CHANCE: Final = 1 / len(CLASSES)
SEED: Final = 5456


@dataclass(frozen=True, slots=True)
class PlannedCall:
    """One call to place: its place in the order, its number, and its half."""

    index: int
    number: str = field(repr=False)
    learned_from: bool

    @property
    def digits(self) -> int:
        """The class: how many digits are dialed."""
        return len(self.number)


def plan_calls(calls_a_class: int, seed: int = SEED) -> list[PlannedCall]:
    """Random numbers of each class in random order; half of each class to learn from."""
    dice = Random(seed)
    drawn = [
        ("".join(dice.choices("0123456789", k=digits)), position < calls_a_class // 2)
        for digits in CLASSES
        for position in range(calls_a_class)
    ]
    dice.shuffle(drawn)
    return [PlannedCall(index, *call) for index, call in enumerate(drawn)]


def parts_of(plan: Sequence[PlannedCall], calls_max: int) -> list[Sequence[PlannedCall]]:
    """The plan in pieces that are recorded one after the other, in its order."""
    return [plan[start : start + calls_max] for start in range(0, len(plan), calls_max)]
