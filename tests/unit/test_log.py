import io
import json
import logging
import threading
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from bridge.config import Secret
from bridge.log import MASK, Lines, LogFormat, configure_logging, lines, masked_text

NUMBER = "493012345678901"
SECRET = "Zk3vQ0nS8xW5tB1yR7uJ4mE9pL2c"


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level, raises = root.handlers[:], root.level, logging.raiseExceptions
    yield io.StringIO()
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.raiseExceptions = raises
    logging.captureWarnings(capture=False)


def entries(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def fail_with_locals() -> None:
    dialed_digits = NUMBER
    raise RuntimeError(f"call of {dialed_digits} failed")


def test_an_entry_is_one_line_of_json(stream: io.StringIO) -> None:
    configure_logging(stream=stream)
    structlog.get_logger("bridge.x").info("ready", address="192.0.2.10:20000", port=20000)
    (entry,) = entries(stream)
    assert entry.pop("timestamp").endswith("Z")
    assert entry == {
        "event": "ready",
        "level": "info",
        "logger": "bridge.x",
        "address": "192.0.2.10:20000",
        "port": 20000,
    }


def test_lines_of_one_go_are_written_together_and_in_order(stream: io.StringIO) -> None:
    configure_logging(stream=stream)
    log = structlog.get_logger()
    with lines:
        log.info("first")
        log.info("second")
        assert not stream.getvalue()
        logging.getLogger("library").warning("third")
        log.info("fourth")
    log.info("fifth")
    events = [entry["event"] for entry in entries(stream)]
    assert events == ["first", "second", "third", "fourth", "fifth"]


def test_lines_are_written_where_the_go_ends_in_an_error(stream: io.StringIO) -> None:
    configure_logging(stream=stream)
    with pytest.raises(ValueError, match="odd"), lines:  # noqa: PT012  that is what is tested
        structlog.get_logger().info("before")
        raise ValueError("odd")
    assert len(entries(stream)) == 1


def test_lines_of_another_thread_do_not_wait(stream: io.StringIO) -> None:
    configure_logging(stream=stream)
    with lines:
        other = threading.Thread(target=lambda: structlog.get_logger().info("other"))
        other.start()
        other.join()
        assert len(entries(stream)) == 1


def test_what_is_logged_while_lines_are_written_is_written_once() -> None:
    """The garbage collection may warn at any time, within a write, too."""
    out, written = Lines(), list[bytes]()

    class Interrupted(io.RawIOBase):
        def writable(self) -> bool:
            return True

        def write(self, octets: Any) -> int:  # noqa: ANN401  as io has it
            written.append(bytes(octets))
            if len(written) == 1:
                out.write("in between\n")
            return len(written[-1])

    out.open(io.TextIOWrapper(io.BufferedWriter(Interrupted())), may_keep=True)
    with out:
        out.write("first\n")
        out.write("second\n")
    assert b"".join(written).split() == [b"first", b"second", b"in", b"between"]


def test_at_level_debug_no_line_waits(stream: io.StringIO) -> None:
    configure_logging("debug", stream=stream)
    with lines:
        structlog.get_logger().info("last words")
        assert len(entries(stream)) == 1


def test_levels_drop_what_is_below(stream: io.StringIO) -> None:
    configure_logging("warning", "json", stream)
    structlog.get_logger().info("quiet")
    logging.getLogger("library").info("quiet")
    structlog.get_logger().error("loud")
    assert [entry["event"] for entry in entries(stream)] == ["loud"]


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_no_number_and_no_secret_whatever_is_logged(
    stream: io.StringIO, log_format: LogFormat
) -> None:
    configure_logging("debug", log_format, stream)
    log = structlog.get_logger("bridge.x")
    log.info("call of %s", NUMBER, uri=f"sip:{NUMBER}@192.0.2.1", all=[NUMBER, {NUMBER: NUMBER}])
    log.debug("octets", data=NUMBER.encode(), secret=Secret(SECRET, "file x"), pair=(NUMBER,))
    logging.getLogger("library").warning("called %s", NUMBER)
    logging.getLogger("library").warning("wrong %d arguments", NUMBER)
    for logger in (log, logging.getLogger("library")):
        try:
            fail_with_locals()
        except RuntimeError:
            logger.exception("failed")
    warnings.simplefilter("always")
    warnings.warn(f"odd {NUMBER}", stacklevel=1)
    text = stream.getvalue()
    assert "failed" in text
    assert "fail_with_locals" in text
    assert MASK in text
    assert NUMBER not in text
    assert SECRET not in text


def test_wrong_arguments_of_a_library_print_nothing(
    stream: io.StringIO, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logging(stream=stream)
    logging.getLogger("library").warning("%d", NUMBER)
    assert NUMBER not in capsys.readouterr().err


def test_the_console_form_is_for_people(stream: io.StringIO) -> None:
    configure_logging("info", "console", stream)
    structlog.get_logger().info("ready", links=2)
    assert "ready" in stream.getvalue()
    assert "links=2" in stream.getvalue()


def test_a_terminal_gets_the_console_form(
    stream: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "isatty", lambda: True)
    configure_logging(stream=stream)
    structlog.get_logger().info("ready")
    assert not stream.getvalue().startswith("{")


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("12345", MASK),
        ("1234", "1234"),
        ("+4930123456", MASK),
        ("030-123-456", MASK),
        ("*31#5551234", MASK),
        ("192.0.2.10", "192.0.2.10"),
        ("192.0.2.10:50600", "192.0.2.10:50600"),
        ("[2001:db8::1]:50600", "[2001:db8::1]:50600"),
        ("sip:50600@x", f"sip:{MASK}@x"),
        ("192.0.2.10:506001", f"192.0.2.10:{MASK}"),
        ("480 Temporarily Unavailable", "480 Temporarily Unavailable"),
    ],
)
def test_masking(text: str, masked: str) -> None:
    assert masked_text(text) == masked


@given(st.text("0123456789", min_size=6, max_size=30), st.text("abc @<>", max_size=9))
def test_a_number_is_masked_wherever_it_stands(number: str, around: str) -> None:
    assert number not in masked_text(f"{around}{number}{around}")
