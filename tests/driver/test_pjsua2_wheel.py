"""The wheel of pjsua2 has what the bridge needs of it, and stands up to strangers."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

PROBE = Path(__file__).with_name("pjsua2_probe.py")
TIMEOUT_S = 60


@pytest.fixture(scope="module")
def seen() -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, PROBE], capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_the_io_queue_is_epoll_and_large(seen: dict[str, Any]) -> None:
    assert seen["limits"].pop("ioqueue").startswith("epoll")
    assert seen["epoll_descriptors"] == 1
    assert seen["limits"] == {
        "ioqueueHandles": 16384,
        "transactions": 16383,
        "dialogs": 8191,
        "transports": 4096,
        "networkEventsPerPoll": 32,
        "packetOctets": 6000,
        "urlOctets": 1024,
        "udpBufferOctets": 4 * 1024 * 1024,
        "calls": 2048,
        "accounts": 64,
    }


def test_a_codec_for_negotiation_is_listed_once_and_needs_no_code(seen: dict[str, Any]) -> None:
    assert seen["codecs"].count("opus/48000/2") == 1


def test_a_request_is_described_in_full(seen: dict[str, Any]) -> None:
    request = seen["first_request"]
    assert request["method"] == "OPTIONS"
    assert request["transport"] == "UDP"
    assert request["local"] == "{}:{}".format(*seen["server"])
    assert request["source"] == "{}:{}".format(*seen["phone"])
    assert request["message"].startswith("OPTIONS sip:probe@")
    assert request["message"].endswith("Content-Length: 0\r\n\r\n")
    assert len(seen["first_answer"]) == 1


def test_an_answer_carries_reason_headers_and_body(seen: dict[str, Any]) -> None:
    (answer,) = seen["answers"]["annotated"]
    assert answer.startswith("SIP/2.0 299 Seen\r\n")
    assert "\r\nX-Probe: yes\r\n" in answer
    assert answer.endswith("\r\n\r\nbody")


@pytest.mark.parametrize("answer", ["failing", "injected", "untyped_body"])
def test_what_cannot_be_answered_with_becomes_500(seen: dict[str, Any], answer: str) -> None:
    (message,) = seen["answers"][answer]
    assert message.startswith("SIP/2.0 500 ")
    assert "X-Injected" not in message
    assert seen["failures"] == 3


def test_a_request_may_be_left_unanswered(seen: dict[str, Any]) -> None:
    assert seen["answers"]["swallowed"] == []


def test_only_stateful_answers_remember_the_request(seen: dict[str, Any]) -> None:
    assert seen["retransmissions"] == {"stateless_ok": 2, "stateful_ok": 1}


def test_garbled_messages_harm_nothing(seen: dict[str, Any]) -> None:
    assert seen["hostile"]["reached_python"] > 100
    assert seen["hostile"]["alive"] == 1


def test_a_flood_is_dropped_before_python(seen: dict[str, Any]) -> None:
    flood = seen["flood"]
    assert 20 <= flood["reached_python"] <= 100
    assert flood["replies"] == flood["admitted"] == flood["reached_python"]
    assert flood["admitted"] + flood["dropped"] == 2000
    assert flood["sources"] == 1


def test_the_next_timer_is_known(seen: dict[str, Any]) -> None:
    assert 0 <= seen["timer_ms"] <= 32_000
