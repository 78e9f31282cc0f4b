"""One grade and its reason: from what was seen, and the worst of it."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from bridge.iax2 import EndReason, KeyOrigin, Reachability
from bridge.status.grading import grade_call, grade_end, grade_link
from bridge.status.model import CallStatus, Dropped, Grade, Key, Received, Sent, Verdict
from tests.lab.status_sample import CALL, VERDICT

SENT = Sent(full_frames=3)
KEY = Key(KeyOrigin.HANDSHAKE, 1.0)


def graded(
    received: Received, *, key: Key | None = KEY, sent: Sent = SENT, unreadable: int = 0
) -> Verdict:
    return grade_call(key=key, sent=sent, received=received, unreadable_last_minute=unreadable)


def link_graded(
    calls: Sequence[CallStatus],
    last: Verdict | None,
    *,
    nowhere: str | None = None,
    reachability: Reachability | None = Reachability.REACHABLE,
) -> Verdict:
    return grade_link(calls, last, nowhere=nowhere, reachability=reachability)


def test_both_ways() -> None:
    assert graded(Received(full_frames=1)) == VERDICT
    assert graded(Received(voice_frames=1)) == VERDICT
    assert graded(Received(full_frames=1), unreadable=3) == VERDICT


@pytest.mark.parametrize(
    ("received", "key", "sent"),
    [
        (Received(clear_frames=9), None, Sent(clear_frames=9)),
        (Received(full_frames=9), KEY, Sent()),
        (Received(), KEY, SENT),
    ],
)
def test_nothing_is_claimed_before_it_was_seen(
    received: Received, key: Key | None, sent: Sent
) -> None:
    assert graded(received, key=key, sent=sent).grade is Grade.PENDING


def test_garbage_alone_is_another_secret() -> None:
    verdict = graded(Received(dropped=Dropped(implausible=1)))
    assert verdict.grade is Grade.BAD
    assert "secrets differ?" in verdict.reason


def test_all_doubts_are_told() -> None:
    received = Received(full_frames=9, dropped=Dropped(clear=2, implausible=9))
    verdict = graded(received, key=Key(KeyOrigin.PEER, 1.0), unreadable=4)
    assert verdict.grade is Grade.WEAK
    assert verdict.reason.startswith(
        "encrypted both ways; the peer rotates its key, which weakens it: "
    )
    assert "; 4 frames in the last minute" in verdict.reason
    assert "2 frames in clear" in verdict.reason


def test_a_key_that_the_peer_rotates_is_weak_and_one_of_ours_is_not() -> None:
    seen = Received(full_frames=9)
    assert graded(seen, key=Key(KeyOrigin.PEER, 1.0)).grade is Grade.WEAK
    assert graded(seen, key=Key(KeyOrigin.OURS, 1.0)) == VERDICT


@pytest.mark.parametrize("reason", list(EndReason))
def test_an_end_tells_or_leaves_what_was_seen(reason: EndReason) -> None:
    told = grade_end(reason, VERDICT)
    assert told is not None
    if reason.name in {"LOCAL", "HANGUP", "REJECTED", "RESTARTED", "UNKNOWN_USER"}:
        assert told is VERDICT
        assert grade_end(reason, Verdict(Grade.PENDING, "")) is None
    else:
        assert told.grade in {Grade.BAD, Grade.DOWN}
        assert told.reason == reason.value


def test_the_worst_live_call_grades_its_link() -> None:
    weak, bad = Verdict(Grade.WEAK, "w"), Verdict(Grade.BAD, "b")
    calls = [replace(CALL, verdict=verdict) for verdict in (VERDICT, weak)]
    assert link_graded(calls, bad) is weak
    assert link_graded([*calls, replace(CALL, verdict=bad)], None, nowhere="no address") is bad
    assert link_graded(calls, None, reachability=Reachability.UNREACHABLE) is weak


def test_without_a_live_call_the_last_one_grades_its_link() -> None:
    pending = [replace(CALL, verdict=Verdict(Grade.PENDING, ""))]
    assert link_graded(pending, VERDICT) == Verdict(
        Grade.GOOD, "at the last call: encrypted both ways"
    )
    assert link_graded([], None, reachability=None).grade is Grade.UNSEEN
    assert link_graded([], VERDICT, nowhere="no address") == Verdict(Grade.DOWN, "no address")


def test_a_peer_that_answers_no_poke_is_down_whatever_the_last_call_told() -> None:
    silent = link_graded([], VERDICT, reachability=Reachability.UNREACHABLE)
    assert silent == Verdict(Grade.DOWN, "the peer does not answer")
    assert link_graded([], VERDICT, reachability=Reachability.LATE).grade is Grade.GOOD
