"""Writes docs/call-states.md from the table of states: python -m tests.lab.call_states.

tests/unit/test_call_states.py holds the document fresh.
"""

from collections.abc import Iterable, Iterator
from typing import Final

from bridge.iax2.states import OVER, TRANSITIONS, Input, State
from tests.lab.results import ROOT

DOCUMENT: Final = ROOT / "docs" / "call-states.md"

CALLER: Final = (
    State.INITIAL,
    State.NEW_SENT,
    State.GIVEN_UP,
    State.AUTHREP_SENT,
    State.LINKED,
    State.UP,
    State.HANGUP_SENT,
    State.ENDED,
)
CALLEE: Final = (
    State.INITIAL,
    State.AUTHREQ_SENT,
    State.AUTHENTICATED,
    State.LINKED,
    State.UP,
    State.HANGUP_SENT,
    State.ENDED,
)
"""The states that a leg of each role can be in."""

_OF_ONE_ROLE: Final = {
    "caller": (Input.PLACE, Input.RECEIVE_CALLTOKEN, Input.RECEIVE_AUTHREQ, Input.RECEIVE_ACCEPT),
    "callee": (Input.RECEIVE_NEW, Input.RECEIVE_AUTHREP, Input.ACCEPT, Input.REJECT, Input.ANSWER),
}
_ANSWERED: Final = (Input.RECEIVE_ANSWER,)
_HEAD: Final = """# States of a call leg

<!-- Generated from bridge/iax2/states.py by `make call-states`: edit the table there. -->

A call leg is always in one of these states. What it receives, what the application commands and
what a timer says are its inputs: `RECEIVE_…` are frames of the peer, the rest are commands, and
`GIVE_UP` is a timer, or a peer that answers nothing any more or cannot be told. A pair that stands
in no row below is illegal: such a frame is dropped and counted, such a command raises an error, and
the state stays.

The caller encrypts from AUTHREP_SENT on, the callee from AUTHENTICATED on; before, only the
handshake has passed. A call given up before its challenge is over: GIVEN_UP only waits for that
challenge, since Asterisk then takes a HANGUP inside the encryption alone.
"""


def document() -> str:
    """Return the whole document."""
    parts = [
        _HEAD,
        "## The caller\n\n" + _diagram(CALLER, (*_OF_ONE_ROLE["callee"],)),
        "## The callee\n\n" + _diagram(CALLEE, (*_OF_ONE_ROLE["caller"], *_ANSWERED)),
        "## Every pair that is allowed\n\n" + "\n".join(_table()),
    ]
    return "\n\n".join(part.rstrip() for part in parts) + "\n"


def _diagram(states: Iterable[State], others: Iterable[Input]) -> str:
    """Return a state diagram of one role; inputs that keep the state are left to the table."""
    states, others = tuple(states), frozenset(others)
    lines = ["```mermaid", "stateDiagram-v2", f"    [*] --> {State.INITIAL.name}"]
    for state in states:
        for target in states:
            events = [
                event.name
                for event in Input
                if event not in others
                and state is not target
                and TRANSITIONS.get((state, event)) is target
            ]
            if events:
                lines.append(f"    {state.name} --> {target.name}: {'<br/>'.join(events)}")
    lines += [f"    {state.name} --> [*]" for state in states if state in OVER]
    return "\n".join([*lines, "```"])


def _table() -> Iterator[str]:
    """Give the rows of the table, state by state."""
    yield "| state | input | state after it |"
    yield "|---|---|---|"
    for state in State:
        for event in Input:
            if (target := TRANSITIONS.get((state, event))) is not None:
                after = "stays" if target is state else target.name
                yield f"| {state.name} | {event.name} | {after} |"


if __name__ == "__main__":
    DOCUMENT.write_text(document())
    print(f"wrote {DOCUMENT}")
