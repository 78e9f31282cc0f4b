"""Everything that tells of the service while it runs: its status, its metrics, a trace."""

import trio

from bridge.config import Configuration
from bridge.net.metrics_socket import serve_metrics
from bridge.net.status_socket import serve_status
from bridge.status.model import encode_status
from bridge.status.observing import Observer
from bridge.status.tracing import FrameTrace


async def serve_observer(
    observer: Observer, configuration: Configuration, trace: FrameTrace | None
) -> None:
    """Answer who asks, until cancelled.

    Args:
        observer: What it saw is told.
        configuration: Says where the status socket is, and where metrics are answered.
        trace: What writes frames, None where nothing does.
    """

    async def answer_status(_question: bytes) -> bytes:
        return encode_status(await observer.status())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(observer.run)
        nursery.start_soon(serve_status, configuration.state_dir, answer_status)
        metrics = configuration.metrics.listen
        if metrics is not None:
            nursery.start_soon(_serve_metrics, observer, metrics.host, metrics.port)
        if trace is not None:
            nursery.start_soon(trace.run)


async def _serve_metrics(observer: Observer, host: str, port: int) -> None:
    from bridge.status.metrics import figures  # noqa: PLC0415  two megabytes, for who asks for it

    async def answer() -> bytes:
        return figures(await observer.status())

    await serve_metrics(host, port, answer)
