"""docs/call-states.md is what the table of states says now."""

import re

import pytest

from bridge.iax2.states import TRANSITIONS, Input, State
from tests.lab import call_states


def test_the_document_is_fresh() -> None:
    written = call_states.DOCUMENT.read_text()
    assert written == call_states.document(), "run: make call-states"


def test_the_document_has_each_pair_once_and_no_other() -> None:
    rows = re.findall(r"^\| (\w+) \| (\w+) \| (\w+) \|$", call_states.document(), re.MULTILINE)
    told = {
        (State[state], Input[event]): State[state if after == "stays" else after]
        for state, event, after in rows
        if state in State.__members__
    }
    assert told == dict(TRANSITIONS)
    assert len(rows) == len(TRANSITIONS)


@pytest.mark.parametrize("states", [call_states.CALLER, call_states.CALLEE])
def test_a_diagram_shows_every_state_of_its_role(states: tuple[State, ...]) -> None:
    others = set(State) - set(states)
    role = "caller" if State.NEW_SENT in states else "callee"
    section = call_states.document().split(f"## The {role}")[1].split("## ")[0]
    assert all(state.name in section for state in states)
    assert not [state.name for state in others if f" {state.name} " in section]
