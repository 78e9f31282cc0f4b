r"""What a dial plan's expression can cost, and how short its numbers can get.

Python's `re` backtracks: an expression such as `(\d+)+` takes exponential time on a number that
nearly matches, and the whole bridge would stand still for it. Nothing in the standard library
bounds that, so the structure is looked at beforehand.
"""

import importlib
import re
from collections.abc import Iterator
from typing import Any, Final

# The parser behind `re` has no public name; typeshed does not know this one.
_parser: Final[Any] = importlib.import_module("re._parser")

_BACKTRACKING: Final = frozenset({"MAX_REPEAT", "MIN_REPEAT"})
_NO_WAY_BACK: Final = frozenset({"POSSESSIVE_REPEAT", "ATOMIC_GROUP"})
_MANY: Final = 8
"""Repetitions up to this often are taken for harmless."""
_LONG_RUNS_MAX: Final = 3
"""So many open-ended repetitions in a row cost at most 64^3 steps, some milliseconds."""


def may_take_exponential_time(expression: re.Pattern[str]) -> bool:
    r"""Whether a repetition within a repetition, or many in a row, might backtrack for long.

    It errs on the side of warning. Possessive repetitions (`\d++`) and atomic groups never count.
    """
    parsed = _parser.parse(expression.pattern, expression.flags)
    return _long_runs(parsed) > _LONG_RUNS_MAX or any(
        _is_open_ended(operand) and _has_choice(operand[2])
        for name, operand in _walk(parsed)
        if name in _BACKTRACKING
    )


def _is_open_ended(operand: Any) -> bool:  # noqa: ANN401  parts of a parsed expression
    return bool(operand[1] > _MANY and operand[0] != operand[1])


def _has_choice(parsed: Any) -> bool:  # noqa: ANN401
    return any(
        name == "BRANCH" or (name in _BACKTRACKING and operand[0] != operand[1])
        for name, operand in _walk(parsed)
    )


def _long_runs(parsed: Any) -> int:  # noqa: ANN401
    return sum(name in _BACKTRACKING and _is_open_ended(op) for name, op in _walk(parsed))


def _walk(parsed: Any) -> Iterator[tuple[str, Any]]:  # noqa: ANN401
    for name, operand in parsed:
        yield str(name), operand
        if str(name) not in _NO_WAY_BACK:
            for inner in _subpatterns(operand):
                yield from _walk(inner)


def _subpatterns(operand: Any) -> Iterator[Any]:  # noqa: ANN401
    if isinstance(operand, _parser.SubPattern):
        yield operand
    elif isinstance(operand, list | tuple):
        for part in operand:
            yield from _subpatterns(part)


def shortest_groups(expression: re.Pattern[str]) -> dict[int, int]:
    """The fewest characters that each group can hold; 0 is the whole number."""
    parsed = _parser.parse(expression.pattern, expression.flags)
    lengths = {0: int(parsed.getwidth()[0])}
    _note_groups(parsed, lengths, optional=False)
    return lengths


def _note_groups(parsed: Any, lengths: dict[int, int], *, optional: bool) -> None:  # noqa: ANN401
    for name, operand in parsed:
        if str(name) == "SUBPATTERN" and operand[0] is not None:
            lengths[operand[0]] = 0 if optional else int(operand[3].getwidth()[0])
        may_be_absent = optional or str(name) == "BRANCH" or _may_be_absent(str(name), operand)
        for inner in _subpatterns(operand):
            _note_groups(inner, lengths, optional=may_be_absent)


def _may_be_absent(name: str, operand: Any) -> bool:  # noqa: ANN401
    return name.endswith("_REPEAT") and operand[0] == 0
