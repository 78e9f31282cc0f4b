"""The answer of `siax status`: there and back, sums, and what is none of it."""

import json
from dataclasses import replace

import pytest

from bridge.status.model import Dropped, Received, StatusError, decode_status, encode_status
from tests.lab.status_sample import RECEIVED, REGISTERED_LINK, STATUS


def test_there_and_back() -> None:
    octets = encode_status(STATUS)
    assert b"\n" not in octets
    assert decode_status(octets) == STATUS
    registered = replace(STATUS, links=(REGISTERED_LINK,))
    assert decode_status(encode_status(registered)) == registered


def test_the_form_for_machines() -> None:
    document = json.loads(encode_status(STATUS))
    assert document["format"] == 1
    assert document["calls"][0]["verdict"] == {"grade": "good", "reason": "encrypted both ways"}
    assert document["links"][0]["received"]["dropped"]["implausible_voice"] == 2
    assert document["outside_calls"] == {"malformed": 2}


def test_sums_and_shares() -> None:
    assert Received(20, 180, 4, 20, Dropped(2, 4, 6, 8, 10, 12)) == RECEIVED + RECEIVED
    assert RECEIVED.dropped.total == 21
    assert RECEIVED.dropped.unreadable == 3
    assert RECEIVED.loss_percent == 10
    assert Received().loss_percent is None


@pytest.mark.parametrize("octets", [b"", b"{}", b"\xff", b"[]", b'{"format": 1}'])
def test_no_answer_of_ours(octets: bytes) -> None:
    with pytest.raises(StatusError, match="none of this version"):
        decode_status(octets)


def test_another_format() -> None:
    document = {**json.loads(encode_status(STATUS)), "format": 2}
    with pytest.raises(StatusError, match="format 2, not 1"):
        decode_status(json.dumps(document).encode())
