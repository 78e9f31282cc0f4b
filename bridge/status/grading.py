"""One grade for a call and for a link, with the reason in words: from what was seen, and only so.

Pure functions. A frame counts as encrypted both ways when ours left encrypted and the peer's came,
were decrypted and made sense; IAX2 has no better proof.
"""

from collections.abc import Iterator, Sequence
from typing import Final

from bridge.iax2 import EndReason, KeyOrigin, Reachability
from bridge.status.model import CallStatus, Grade, Key, Received, Sent, Verdict

UNREADABLE_PER_MINUTE_MAX: Final = 3
"""As many happen on an honest link: a frame that came far too late, a change of key."""

_WORST_FIRST: Final = (
    Grade.BAD,
    Grade.WEAK,
    Grade.DOWN,
    Grade.GOOD,
    Grade.PENDING,
    Grade.UNSEEN,
)
_BOTH_WAYS: Final = "encrypted both ways"
_SAYS_NOTHING: Final = frozenset(
    {
        EndReason.LOCAL,
        EndReason.HANGUP,
        EndReason.REJECTED,
        EndReason.RESTARTED,
        EndReason.UNKNOWN_USER,
    }
)
"""Endings after which what was seen of the call stands."""
_SILENCE: Final = frozenset({EndReason.NO_RESPONSE, EndReason.LOST_CHALLENGE})


def grade_call(
    *, key: Key | None, sent: Sent, received: Received, unreadable_last_minute: int
) -> Verdict:
    """Grade one call; `key` is the one that the peer's frames are under, None while in clear."""
    believed = received.full_frames + received.voice_frames
    if key is None or not sent.full_frames:
        return Verdict(Grade.PENDING, "being set up: nothing of the call itself was sent yet")
    if not believed:
        if received.dropped.unreadable:
            return Verdict(
                Grade.BAD,
                "we send encrypted, but nothing that the peer sends decrypts: secrets differ?",
            )
        return Verdict(Grade.PENDING, "we send encrypted; nothing came back yet")
    doubts = list(_doubts(key, received, unreadable_last_minute))
    if doubts:
        return Verdict(Grade.WEAK, "; ".join((_BOTH_WAYS, *doubts)))
    return Verdict(Grade.GOOD, _BOTH_WAYS)


def _doubts(key: Key, received: Received, unreadable_last_minute: int) -> Iterator[str]:
    if key.origin is KeyOrigin.PEER:
        # Asterisk chan_iax2, iax2_key_rotate(): MD5 over ast_random(), which has 31 bits.
        yield (
            "the peer rotates its key, which weakens it: an Asterisk makes the new one of 31 "
            "random bits"
        )
    if unreadable_last_minute > UNREADABLE_PER_MINUTE_MAX:
        yield (
            f"{unreadable_last_minute} frames in the last minute did not decrypt to anything that "
            "makes sense: somebody may be changing or adding packets"
        )
    if received.dropped.clear:
        yield (
            f"{received.dropped.clear} frames in clear were dropped: somebody may be trying to end "
            "or take over the call"
        )


def grade_end(reason: EndReason, seen: Verdict) -> Verdict | None:
    """Grade what the end of a call says about its link; None where it says nothing."""
    if reason in _SAYS_NOTHING:
        return None if seen.grade is Grade.PENDING else seen
    return Verdict(Grade.DOWN if reason in _SILENCE else Grade.BAD, reason.value)


def grade_link(
    calls: Sequence[CallStatus],
    last: Verdict | None,
    *,
    nowhere: str | None,
    reachability: Reachability | None,
) -> Verdict:
    """Grade a link: its worst live call, or else the last one that told something.

    A peer that answers nothing is down, unless calls show that it is not.

    Args:
        calls: Its live calls.
        last: What the last call that is over told, None where none did.
        nowhere: Why the peer's address is not known, None where it is.
        reachability: What the last POKE found, None where none is sent.
    """
    live = [call.verdict for call in calls if call.verdict.grade is not Grade.PENDING]
    if live:
        return min(live, key=lambda verdict: _WORST_FIRST.index(verdict.grade))
    if nowhere is not None:
        return Verdict(Grade.DOWN, nowhere)
    if reachability is Reachability.UNREACHABLE:
        return Verdict(Grade.DOWN, "the peer does not answer")
    if last is None:
        return Verdict(Grade.UNSEEN, "no call yet that would show it")
    return Verdict(last.grade, f"at the last call: {last.reason}")
