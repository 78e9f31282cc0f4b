"""Log set-up: structlog, as text for people on a terminal, else as JSON lines.

Owns format, level and where library logs go. A call is named by its call id, never by a number.
As a last line of defence, longer runs of digits in any text are masked; nothing may rely on it.
Tracebacks never show local variables, for these hold numbers.
"""

import logging
import re
import sys
from collections.abc import Mapping
from typing import Any, Final, Literal, TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

LogFormat = Literal["json", "console"]
LEVELS: Final = ("debug", "info", "warning", "error")
FORMATS: Final = ("json", "console")

MASK: Final = "•••"
# Five digits or more, in a row or set apart by what SIP allows in numbers. Dots do not count: they
# would make every IPv4 address a number. The port behind an address is none either.
_DIGIT_RUN: Final = re.compile(
    r"(?P<port>(?<=[0-9\]]:)[0-9]{5}(?![-()0-9*#]))|\+?[0-9*#](?:[-()]{0,2}[0-9*#]){4,}"
)


def configure_logging(
    level: str = "info", log_format: LogFormat | None = None, stream: TextIO | None = None
) -> None:
    """Send everything that is logged, by us or by libraries, to one place in one form.

    Args:
        level: One of LEVELS; what is below it is dropped early.
        log_format: By default console on a terminal, else json.
        stream: By default standard error.
    """
    out = stream or sys.stderr
    threshold = logging.getLevelNamesMapping()[level.upper()]
    handler = logging.StreamHandler(out)
    handler.setFormatter(_formatter(log_format or _format_for(out), colors=out.isatty()))
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(threshold)
    # Else a log call with wrong arguments would print these arguments.
    logging.raiseExceptions = False
    # What no line shows is not looked for: a fifth of what a line costs (Python's logging HOWTO).
    logging._srcfile = None  # noqa: SLF001 - its documented way
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging.captureWarnings(capture=True)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.stdlib.LoggerFactory(),
    )


def _format_for(stream: TextIO) -> LogFormat:
    return "console" if stream.isatty() else "json"


def _formatter(log_format: LogFormat, *, colors: bool) -> structlog.stdlib.ProcessorFormatter:
    render: Processor = structlog.processors.JSONRenderer(ensure_ascii=False)
    if log_format == "console":
        render = structlog.dev.ConsoleRenderer(
            colors=colors, exception_formatter=structlog.dev.plain_traceback
        )
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[structlog.contextvars.merge_contextvars],
        processors=[
            structlog.stdlib.add_log_level,
            structlog.stdlib.add_logger_name,
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.StackInfoRenderer(),
            # Plain text without locals; it turns exc_info into a string, which is then masked.
            structlog.processors.format_exc_info,
            mask_digits,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            render,
        ],
    )


def mask_digits(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Mask what looks like a dialed number in all texts of a log entry; integers stay."""
    return {key: _masked(value) for key, value in event.items()}


def _masked(value: Any) -> Any:  # noqa: ANN401  a log entry may hold anything
    match value:
        case None | bool() | int() | float():
            return value
        case str():
            return masked_text(value)
        case Mapping():
            return {masked_text(str(key)): _masked(inner) for key, inner in value.items()}
        case list() | tuple() | set() | frozenset():
            return [_masked(inner) for inner in value]
        case _:
            return masked_text(str(value))


def masked_text(text: str) -> str:
    """The text with every run of five digits or more masked."""
    return _DIGIT_RUN.sub(lambda run: run["port"] or MASK, text)
