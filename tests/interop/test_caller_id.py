"""Proof, interop: with `caller_id` a real Asterisk learns who calls, and the link shows nothing."""

from pathlib import Path

import pytest

from tests.lab.addresses import free_iax_address
from tests.lab.asterisk import AsteriskPeer
from tests.lab.asterisk_config import far_end
from tests.lab.asterisk_fetch import AsteriskTree
from tests.lab.capture import assert_absent
from tests.lab.results import record, sized
from tests.lab.scene import no_channel_left, open_scene, received_calls

ANSWER_S = 10.0
CALLS = (
    ("4420794600", "4930123", "4420794600"),
    ("+49-30-123456", "112", "4930123456"),
    ("anonymous", "4930123", ""),
    ("alice", "5", ""),
    ("4420794600", "*97", "4420794600"),
    ("123456789012345", "314159265358979323846264", "123456789012345"),
)
"""The caller as the phone writes it, the number, and the caller that the far end learns."""


@pytest.mark.parametrize("version", ["22", "16"])
async def test_the_far_end_learns_who_calls_and_the_link_does_not(
    trees: dict[str, AsteriskTree], version: str, link_secret: str, tmp_path: Path
) -> None:
    calls = CALLS[: sized(3, len(CALLS))]
    settings = far_end(free_iax_address(), link_secret, with_caller=True)
    overrides = {
        "links": {"caller_id": {"send": True}, "dialing": {"slots": None}},
        "dialplan": [{"match": r"9([0-9*]+)", "link": "hq", "dial": "{1}"}],
    }
    with AsteriskPeer(trees[version], settings) as peer:
        async with open_scene(peer, link_secret, tmp_path, overrides=overrides) as scene:
            for count, (caller, number, _) in enumerate(calls, 1):
                call = await scene.dial(number, caller)
                await call.answered(ANSWER_S)
                # Asterisk forgets digits that it has acknowledged and not yet read at a HANGUP.
                received = await received_calls(peer, count, 2)
                await call.bye()
            await no_channel_left(peer)
    assert [call.digits for call in received] == [number for _, number, _ in calls]
    assert [call.caller for call in received] == [f'"" <{caller}>' for _, _, caller in calls]
    secrets = [text for call in calls for text in call if len(text) >= 7]
    assert_absent(scene.link.datagrams, secrets)
    record("callers told to Asterisk", {"asterisk": trees[version].version, "calls": len(calls)})
