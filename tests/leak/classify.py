"""A listener that learns: a forest is trained on one half of the calls and tried on the other."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import comb, sqrt
from typing import Any, Final

from sklearn.ensemble import RandomForestClassifier

from tests.leak.features import features_of
from tests.leak.plan import CHANCE, CLASSES, SEED
from tests.leak.recording import RecordedCall

TREES: Final = 400
_STEPS: Final = 3.07
"""Standard deviations above chance that one in a thousand fair results exceeds: 25.5 % of 500."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """How well counts of digits were told apart.

    Attributes:
        confusion: How many calls of a class, first, were taken for another, second.
    """

    confusion: Mapping[tuple[int, int], int]

    @property
    def tried(self) -> int:
        """Calls of the half that was not learned from."""
        return sum(self.confusion.values())

    @property
    def right(self) -> int:
        """Calls whose class was told."""
        return sum(count for (was, said), count in self.confusion.items() if was == said)

    @property
    def accuracy(self) -> float:
        """The share of calls whose class was told, 0 to 1."""
        return self.right / self.tried

    @property
    def limit(self) -> float:
        """What guessing stays below in 999 of 1,000 tries: 25.5 % of 500 calls."""
        return CHANCE + _STEPS * sqrt(CHANCE * (1 - CHANCE) / self.tried)

    @property
    def chance_of_it(self) -> float:
        """How likely guessing alone does as well or better."""
        return sum(
            comb(self.tried, right) * CHANCE**right * (1 - CHANCE) ** (self.tried - right)
            for right in range(self.right, self.tried + 1)
        )

    def table(self) -> str:
        """The confusion matrix as text."""
        head = "dialed, told as".ljust(16) + "".join(f"{digits:>6}" for digits in CLASSES)
        rows = [
            f"{was:>6} digits   "
            + "".join(f"{self.confusion.get((was, n), 0):>6}" for n in CLASSES)
            for was in CLASSES
        ]
        return "\n".join([head, *rows])


def classify(calls: Sequence[RecordedCall], view: str, trees: int = TREES) -> Verdict:
    """Learns from one half and tries the other."""
    halves: dict[bool, list[Any]] = {True: [], False: []}
    for call in calls:
        features = features_of(call.seen, view)
        halves[call.planned.learned_from].append((features, call.planned.digits))
    forest = RandomForestClassifier(
        trees, max_features=0.3, min_samples_leaf=2, random_state=SEED, n_jobs=1
    )
    forest.fit(*_columns(halves[True]))
    tried, digits = _columns(halves[False])
    told = [int(said) for said in forest.predict(tried)]
    return Verdict(dict(Counter(zip(digits, told, strict=True))))


def _columns(half: Sequence[tuple[list[float], int]]) -> tuple[list[list[float]], list[int]]:
    return [features for features, _ in half], [digits for _, digits in half]
