"""Every (state, input) pair of a registration's exchange, on both sides, over the wire."""

from itertools import product

import pytest

from bridge.iax2.clear_dialog import ClearDialog
from bridge.iax2.constants import ElementType, FrameType, IaxSubclass
from bridge.iax2.elements import ElementValue, InformationElements
from bridge.iax2.frames import FullFrame
from bridge.iax2.registrar import RegistrarExchange
from bridge.iax2.registration import RegistrationExchange
from bridge.iax2.registration_states import (
    REGISTRANT_TRANSITIONS,
    REGISTRAR_TRANSITIONS,
    Transitions,
)
from bridge.iax2.registration_states import (
    RegistrationInput as Input,
)
from bridge.iax2.registration_states import (
    RegistrationState as State,
)
from tests.lab.iax2_registry import REGISTER_SECRET, Registry
from tests.lab.iax2_wire import FAR, NEAR, START
from tests.vectors.reference import reference_key

REGISTRANT = (State.REQUESTED, State.PROVEN)
REGISTRAR = (State.CHALLENGED, State.GRANTED, State.REFUSED)

WIRE: dict[Input, tuple[int, tuple[tuple[int, ElementValue], ...]]] = {
    Input.RECEIVE_CALLTOKEN: (IaxSubclass.CALLTOKEN, ((ElementType.CALLTOKEN, b"token"),)),
    Input.RECEIVE_REGAUTH: (
        IaxSubclass.REGAUTH,
        ((ElementType.AUTHMETHODS, (2, 2)), (ElementType.CHALLENGE, b"123")),
    ),
    Input.RECEIVE_REGACK: (IaxSubclass.REGACK, ()),
    Input.RECEIVE_REGREJ: (IaxSubclass.REGREJ, ()),
    Input.RECEIVE_WRONG_PROOF: (IaxSubclass.REGREQ, ((ElementType.MD5_RESULT, b"0" * 32),)),
    Input.RECEIVE_FINAL_ACK: (IaxSubclass.ACK, ()),
}


def exchange_in(state: State) -> tuple[Registry, ClearDialog]:
    """Return an exchange in a state, of the side whose state it is."""
    stops_at = {
        State.REQUESTED: IaxSubclass.REGAUTH,
        State.PROVEN: IaxSubclass.REGACK,
        State.CHALLENGED: IaxSubclass.REGAUTH,
        State.GRANTED: IaxSubclass.REGACK,
        State.REFUSED: IaxSubclass.REGREJ,
    }[state]
    registry = Registry(secret=b"another" if state is State.REFUSED else REGISTER_SECRET)
    registry.swallow = lambda passed: passed.subclass == stops_at
    registry.begin()
    side = registry.near if state in REGISTRANT else registry.far
    (exchange,) = side.peers._dialogs.values()
    assert isinstance(exchange, RegistrationExchange | RegistrarExchange)
    assert exchange.state is state
    return registry, exchange


def give(registry: Registry, exchange: ClearDialog, event: Input) -> None:
    if event is Input.GIVE_UP:
        exchange.handle_timeout(START + 10)
        return
    subclass, elements = WIRE.get(event, (IaxSubclass.REGREQ, ()))
    if event is Input.RECEIVE_PROOF:
        # Against whatever the exchange has asked; a registrant has asked nothing.
        challenge = getattr(exchange, "_challenge", b"123")
        elements = ((ElementType.MD5_RESULT, reference_key(challenge, REGISTER_SECRET).hex()),)
    sequence = exchange._channel.sequence
    # An acknowledgement acknowledges all; another frame comes as if nothing else had.
    settles = event is Input.RECEIVE_FINAL_ACK
    frame = FullFrame(
        exchange._channel.peer_call_number or 9406,
        exchange.call_number,
        0,
        sequence.iseqno,
        sequence.oseqno if settles else max(sequence.oseqno - 1, 0),
        FrameType.IAX,
        subclass,
        InformationElements.of(*elements).encode(),
    )
    side, address = (registry.near, FAR) if exchange.address == FAR else (registry.far, NEAR)
    side.receive_datagram(frame.encode(), address, registry.now)


def table_of(state: State) -> Transitions:
    return REGISTRANT_TRANSITIONS if state in REGISTRANT else REGISTRAR_TRANSITIONS


@pytest.mark.parametrize(("state", "event"), list(product((*REGISTRANT, *REGISTRAR), Input)))
def test_the_table_alone_moves_the_state(state: State, event: Input) -> None:
    registry, exchange = exchange_in(state)
    assert isinstance(exchange, RegistrationExchange | RegistrarExchange)
    give(registry, exchange, event)
    assert exchange.state is table_of(state).get((state, event), state)


@pytest.mark.parametrize("state", [*REGISTRANT, *REGISTRAR])
def test_what_is_over_is_forgotten(state: State) -> None:
    registry, exchange = exchange_in(state)
    give(registry, exchange, Input.GIVE_UP)
    side = registry.near if state in REGISTRANT else registry.far
    assert len(side.peers) == 0
    assert exchange.next_deadline() is None
    assert side.call_numbers_leaked == 0


def test_each_pair_of_the_tables_was_tried() -> None:
    tried = set(product((*REGISTRANT, *REGISTRAR), Input))
    assert {*REGISTRANT_TRANSITIONS, *REGISTRAR_TRANSITIONS} <= tried


def test_nothing_leaves_the_end() -> None:
    assert not any(
        state is State.OVER for state, _ in (*REGISTRANT_TRANSITIONS, *REGISTRAR_TRANSITIONS)
    )
