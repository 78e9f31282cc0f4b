"""A nursery whose one failure comes out as itself, so that a failing proof says what failed."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio


@asynccontextmanager
async def open_lab_nursery() -> AsyncIterator[trio.Nursery]:
    """A nursery that is cancelled when its block is left.

    Raises:
        BaseException: What failed; a group only when more than one thing did.
    """
    try:
        async with trio.open_nursery() as nursery:
            yield nursery
            nursery.cancel_scope.cancel()
    except BaseExceptionGroup as group:
        failures = _leaves(group)
        if len(failures) > 1:
            raise
        raise failures[0] from failures[0].__cause__


def _leaves(failure: BaseException) -> list[BaseException]:
    if isinstance(failure, BaseExceptionGroup):
        return [leaf for part in failure.exceptions for leaf in _leaves(part)]
    return [failure]
