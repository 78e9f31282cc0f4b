"""Whom a REFER may name."""

import re

import pytest

from bridge.bridging.transfer_services import TransferRefusedError
from bridge.bridging.transfer_targets import TransferTargets
from bridge.dialing.delivery import DeliveryPlan, PhoneRoute
from bridge.dialing.plan import DialTemplate
from bridge.sip.refer import Refer

BRIDGE = "192.0.2.1"
DESK = "sip:desk@192.0.2.20:5060"
CONTACT = ("10.0.0.5", 5062)


class Phones:
    """The desk, which has registered, and another one, which has not."""

    def targets(self, user: str) -> tuple[str, ...] | None:
        return {"desk": (DESK,), "away": ()}.get(user)

    def targets_at(self, user: str, place: tuple[str, int]) -> tuple[str, ...]:
        return (DESK,) if (user, place) == ("d-1", CONTACT) else ()


def route(match: str, user: str, place: str = "", link: str = "hq") -> PhoneRoute:
    pattern = re.compile(match)
    return PhoneRoute(pattern, link, DialTemplate.parse(user, pattern), place)


PLAN = DeliveryPlan(
    (
        route("201", "desk"),
        route(r"3\d\d", "{0}", "192.0.2.30:5060;transport=udp"),
        route("301", "north-{0}", "192.0.2.31:5060", "north"),
        route("401", "north-{0}", "192.0.2.31:5060", "north"),
        route("501", "nobody"),
    )
)


def find(user: str, place: tuple[str, int], own_host: str = BRIDGE) -> tuple[str, ...]:
    targets = TransferTargets(PLAN, Phones(), ("siax", "2001:DB8::1", BRIDGE))
    return targets.find(Refer(user, place, own_host, "192.0.2.10"), "hq")


@pytest.mark.parametrize(
    ("user", "host", "targets"),
    [
        ("desk", BRIDGE, (DESK,)),
        ("desk", "SIAX", (DESK,)),
        ("desk", "2001:db8:0::1", (DESK,)),
        ("away", BRIDGE, ()),
        ("201", BRIDGE, (DESK,)),
        ("2-0-1", BRIDGE, (DESK,)),
        ("301", BRIDGE, ("sip:301@192.0.2.30:5060;transport=udp",)),
        ("401", BRIDGE, ("sip:north-401@192.0.2.31:5060",)),
        ("501", BRIDGE, ()),
    ],
)
def test_a_phone_of_ours(user: str, host: str, targets: tuple[str, ...]) -> None:
    assert find(user, (host, 5060)) == targets


def test_what_the_phone_calls_us_in_its_dialog() -> None:
    assert find("desk", ("pbx.example", 5060), own_host="PBX.example") == (DESK,)


def test_the_contact_that_a_phone_has_told_another() -> None:
    assert find("d-1", CONTACT) == (DESK,)
    assert find("301", ("192.0.2.30", 5060)) == ("sip:301@192.0.2.30:5060;transport=udp",)


@pytest.mark.parametrize(
    ("user", "place", "status"),
    [
        ("95551234", (BRIDGE, 5060), 404),
        ("", (BRIDGE, 5060), 404),
        ("3" * 65, (BRIDGE, 5060), 404),
        ("desk", ("example.org", 5060), 403),
        ("d-2", CONTACT, 403),
        ("0900", ("192.0.2.30", 5060), 403),
        ("301", ("192.0.2.30", 5070), 403),
    ],
)
def test_nobody_else(user: str, place: tuple[str, int], status: int) -> None:
    with pytest.raises(TransferRefusedError) as refused:
        find(user, place)
    assert refused.value.status == status
    assert user not in str(refused.value) or not user


def test_without_phones_that_register() -> None:
    targets = TransferTargets(PLAN, None, ())
    assert targets.find(Refer("301", (BRIDGE, 5060), BRIDGE, ""), "north") == (
        "sip:north-301@192.0.2.31:5060",
    )
    with pytest.raises(TransferRefusedError):
        targets.find(Refer("201", (BRIDGE, 5060), BRIDGE, ""), "hq")
