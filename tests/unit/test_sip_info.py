"""INFO within a call: which bodies are digits."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.sip.info import read_info


def info(kind: str, body: str) -> str:
    return f"INFO sip:x SIP/2.0\r\nContent-Type: {kind}\r\n\r\n{body}"


@pytest.mark.parametrize(
    ("kind", "body", "digit"),
    [
        ("application/dtmf-relay", "Signal=5\r\nDuration=160\r\n", "5"),
        ("application/dtmf-relay", "Signal= #\r\nDuration= 250\r\n", "#"),
        ("Application/DTMF-Relay;x=y", "Duration=100\r\nsignal = a\r\n", "A"),
        ("application/dtmf-relay", "Signal=10\r\nDuration=160", "*"),
        ("application/dtmf", "7", "7"),
        ("application/dtmf", "11\r\n", "#"),
        ("application/dtmf", "Signal=*\r\nDuration=100\r\n", "*"),
    ],
)
def test_digits(kind: str, body: str, digit: str) -> None:
    answer, read = read_info(info(kind, body))
    assert (answer.status, answer.stateful, read) == (200, True, digit)


@pytest.mark.parametrize(
    ("kind", "body", "status"),
    [
        ("application/dtmf-relay", "Signal=16\r\n", 400),
        ("application/dtmf-relay", "Signal=\r\n", 400),
        ("application/dtmf-relay", "", 400),
        ("application/dtmf", "555", 400),
        ("application/dtmf", "²", 400),
        ("text/plain", "5", 415),
        ("", "", 200),
    ],
)
def test_what_is_no_digit(kind: str, body: str, status: int) -> None:
    answer, read = read_info(info(kind, body))
    assert (answer.status, read) == (status, "")


@pytest.mark.parametrize("piece", [" ", "\n", "Signal=1 ", "Signal=\n"])
def test_no_body_takes_more_than_linear_time(piece: str) -> None:
    began = time.process_time()
    read_info(info("application/dtmf-relay", piece * (60_000 // len(piece)) + "x"))
    assert time.process_time() - began < 1.0


@given(st.text(), st.text())
def test_garbage(kind: str, body: str) -> None:
    _, digit = read_info(info(kind, body))
    assert digit in set("0123456789*#ABCD") | {""}
