"""What is answered to frames that only ask."""

import pytest

from bridge.iax2.constants import ElementType, FrameType, IaxSubclass
from bridge.iax2.elements import parse_elements_untrusted
from bridge.iax2.frames import FullFrame
from bridge.iax2.queries import reply_to_query


def query(subclass: int) -> FullFrame:
    return FullFrame(77, 5, 400, 0, 0, FrameType.IAX, subclass)


@pytest.mark.parametrize("subclass", [IaxSubclass.PING, IaxSubclass.POKE])
def test_a_ping_is_answered_with_a_report(subclass: IaxSubclass) -> None:
    reply = reply_to_query(query(subclass), None)
    assert reply is not None
    assert (reply.subclass, reply.echoes) == (IaxSubclass.PONG, True)
    assert len(parse_elements_untrusted(reply.data).pairs) == 6


def test_a_lagrq_is_answered_with_its_timestamp() -> None:
    assert reply_to_query(query(IaxSubclass.LAGRQ), None) == (IaxSubclass.LAGRP, b"", True)


def test_a_transfer_is_refused() -> None:
    assert reply_to_query(query(IaxSubclass.TXREQ), None) == (IaxSubclass.TXREJ, b"", False)


@pytest.mark.parametrize(
    "subclass",
    [
        IaxSubclass.PONG,
        IaxSubclass.LAGRP,
        IaxSubclass.QUELCH,
        IaxSubclass.UNQUELCH,
        IaxSubclass.TXREL,
        IaxSubclass.TXREJ,
        IaxSubclass.TRANSFER,
        IaxSubclass.UNSUPPORT,
        IaxSubclass.MWI,
    ],
)
def test_what_only_tells_is_acknowledged_and_no_more(subclass: IaxSubclass) -> None:
    assert reply_to_query(query(subclass), None) is None


@pytest.mark.parametrize(
    "subclass",
    [
        IaxSubclass.REGREQ,
        IaxSubclass.DPREQ,
        IaxSubclass.DIAL,
        IaxSubclass.TXCNT,
        IaxSubclass.TXREADY,
        IaxSubclass.TXMEDIA,
        IaxSubclass.PROVISION,
        IaxSubclass.FWDOWNL,
        31,
        127,
        -1,
    ],
)
def test_what_we_do_not_know_is_named_in_unsupport(subclass: int) -> None:
    reply = reply_to_query(query(subclass), None)
    assert reply is not None
    assert (reply.subclass, reply.echoes) == (IaxSubclass.UNSUPPORT, False)
    elements = parse_elements_untrusted(reply.data)
    assert elements.pairs == ((ElementType.IAX_UNKNOWN, bytes((subclass & 0xFF,))),)
