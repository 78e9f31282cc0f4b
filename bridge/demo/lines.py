"""Lines of text out of a stream of octets."""

from collections.abc import AsyncIterator

import trio


async def lines_of(stream: trio.abc.ReceiveStream) -> AsyncIterator[str]:
    """Give each line without its end, the last one too when nothing ends it."""
    rest = b""
    async for piece in stream:
        *complete, rest = (rest + piece).split(b"\n")
        for line in complete:
            yield line.decode(errors="replace")
    if rest:
        yield rest.decode(errors="replace")
