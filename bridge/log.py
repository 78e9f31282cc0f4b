"""Log set-up: structlog, as text for people on a terminal, else as JSON lines.

Owns format, level and where library logs go. A call is named by its call id, never by a number.
As a last line of defence, longer runs of digits in any text are masked; nothing may rely on it.
Tracebacks never show local variables, for these hold numbers.
"""

import json
import logging
import re
import sys
import threading
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Final, Literal, TextIO

import structlog
from structlog.typing import EventDict, WrappedLogger

LogFormat = Literal["json", "console"]
_Render = Callable[[WrappedLogger, str, EventDict], str]
"""Makes a text of (logger, level, entry), as structlog's processors do."""
LEVELS: Final = ("debug", "info", "warning", "error")
FORMATS: Final = ("json", "console")

MASK: Final = "•••"
# Five digits or more, in a row or set apart by what SIP allows in numbers. Dots do not count: they
# would make every IPv4 address a number. The port behind an address is none either.
_DIGIT_RUN: Final = re.compile(
    r"(?P<port>(?<=[0-9\]]:)[0-9]{5}(?![-()0-9*#]))|\+?[0-9*#](?:[-()]{0,2}[0-9*#]){4,}"
)
_MAYBE_RUN: Final = re.compile(r"[0-9*#][-()0-9*#]")
"""What each run begins with, found in a tenth of the time: most texts have none."""
_PLAIN: Final = frozenset({int, float, bool, type(None)})
"""What is no text, and holds none."""
_encode_json: Final = json.JSONEncoder(ensure_ascii=False).encode
_UTC_OFFSET: Final = len("+00:00")


class Lines:
    """Where all lines go: to a text stream, each at once, or many in one write.

    Within a `with` block the lines of its thread are kept and written behind it, for a write takes
    as long as making a line. A crash of the interpreter itself loses those, so at level debug none
    is kept.
    """

    def __init__(self) -> None:
        self._out: TextIO = sys.stderr
        self._kept: deque[str] = deque()
        self._may_keep = False
        self._keeper: int | None = None
        self._writers: set[int] = set()

    def open(self, out: TextIO, *, may_keep: bool) -> None:
        """Write to a stream from now on."""
        self._out = out
        self._may_keep = may_keep

    def __enter__(self) -> None:
        self._keeper = threading.get_ident() if self._may_keep else None

    def __exit__(self, *_: object) -> None:
        self._keeper = None
        if self._kept:
            self.flush()

    def write(self, line: str) -> None:
        """Take a line, its end included, from any thread."""
        self._kept.append(line)
        if self._keeper != threading.get_ident():
            self.flush()

    def flush(self) -> None:
        """Write what is kept; what cannot be written is lost, and nothing else.

        Without a lock: a warning of the garbage collection may come within a write, in its thread.
        It waits for that write, as the stream takes none within another.
        """
        writer = threading.get_ident()
        if writer in self._writers:
            return
        self._writers.add(writer)
        try:
            while self._kept:
                self._write_kept()
        finally:
            self._writers.discard(writer)

    def _write_kept(self) -> None:
        taken = []
        with suppress(IndexError):
            while True:
                taken.append(self._kept.popleft())
        with suppress(Exception):
            self._out.write("".join(taken))
            self._out.flush()


lines: Final = Lines()
"""Of this process; who logs a great deal in one go does it in `with lines:`."""


def configure_logging(
    level: str = "info", log_format: LogFormat | None = None, stream: TextIO | None = None
) -> None:
    """Send everything that is logged, by us or by libraries, to one place in one form.

    Args:
        level: One of LEVELS; what is below it is dropped early.
        log_format: By default console on a terminal, else json.
        stream: By default standard error, and for good: loggers in use keep what they are made of.
    """
    out = stream or sys.stderr
    threshold = logging.getLevelNamesMapping()[level.upper()]
    lines.open(out, may_keep=threshold > logging.DEBUG)
    finish = _finish(log_format or _format_for(out), colors=out.isatty())
    _take_from_libraries(threshold, finish)
    structlog.configure(
        processors=[_with_origin],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=lambda name="": _Logger(name, finish),
        cache_logger_on_first_use=stream is None,
    )


class _Logger:
    """Makes lines of our own entries: by way of the libraries' each would cost twice as much.

    Attributes:
        name: The logger's.
    """

    __slots__ = ("_finish", "name")

    def __init__(self, name: str, finish: _Render) -> None:
        self.name = name
        self._finish = finish

    def write(self, entry: EventDict) -> None:
        """Write an entry; one that no line can be made of is lost, and nothing else."""
        with suppress(Exception):
            lines.write(f"{self._finish(self, '', entry)}\n")

    debug = info = warning = error = critical = write


def _with_origin(logger: _Logger, level: str, entry: EventDict) -> tuple[Any, Any]:
    entry["level"] = level
    entry["logger"] = logger.name
    return (entry,), {}


def _take_from_libraries(threshold: int, finish: _Render) -> None:
    """Give what libraries log by the standard library's means the same form and place."""
    handler = logging.StreamHandler(lines)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=(
                structlog.stdlib.add_log_level,
                structlog.stdlib.add_logger_name,
            ),
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, finish],
        )
    )
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(threshold)
    # Else a log call with wrong arguments would print these arguments.
    logging.raiseExceptions = False
    logging.captureWarnings(capture=True)


def _format_for(stream: TextIO) -> LogFormat:
    return "console" if stream.isatty() else "json"


def _finish(log_format: LogFormat, *, colors: bool) -> _Render:
    """Return what makes a line of an entry."""
    render: _Render = _as_json
    if log_format == "console":
        render = structlog.dev.ConsoleRenderer(
            colors=colors, exception_formatter=structlog.dev.plain_traceback
        )

    def finish(logger: WrappedLogger, level: str, entry: EventDict) -> str:
        if "exc_info" in entry:
            # Plain text without locals.
            entry = structlog.processors.format_exc_info(logger, level, entry)
        entry = {
            key: value if type(value) in _PLAIN else _masked(value) for key, value in entry.items()
        }
        entry["timestamp"] = f"{datetime.now(UTC).isoformat()[:-_UTC_OFFSET]}Z"
        return render(logger, level, entry)

    return finish


def _as_json(_logger: WrappedLogger, _level: str, entry: EventDict) -> str:
    return _encode_json(entry)


def _masked(value: Any) -> Any:  # noqa: ANN401  a log entry may hold anything
    match value:
        case str():
            return masked_text(value)
        case None | bool() | int() | float():
            return value
        case Mapping():
            return {masked_text(str(key)): _masked(inner) for key, inner in value.items()}
        case list() | tuple() | set() | frozenset():
            return [_masked(inner) for inner in value]
        case _:
            return masked_text(str(value))


def masked_text(text: str) -> str:
    """The text with every run of five digits or more masked."""
    if _MAYBE_RUN.search(text) is None:
        return text
    return _DIGIT_RUN.sub(lambda run: run["port"] or MASK, text)
