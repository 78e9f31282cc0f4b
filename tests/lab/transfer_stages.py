"""A call of either direction whose phone gives it away, for tests of both alike."""

from typing import Any

from tests.lab.bridged_calls import Stage
from tests.lab.bridged_phone import OFFER, CalledPhone, Phone
from tests.lab.inbound_calls import InboundStage
from tests.lab.transfers import ask, refer_to

OTHER_HOST = "192.0.2.20"
B_OFFER = OFFER.replace("192.0.2.10", OTHER_HOST)
AnyStage = Stage | InboundStage
AnyPhone = Phone | CalledPhone


def is_up(stage: AnyStage) -> bool:
    """Whether its one call has a phone."""
    (call,) = stage.switchboard._live
    return call.phone_leg is not None


def begin(stage: AnyStage, **refer: Any) -> AnyPhone:  # noqa: ANN401
    """A call whose phone has asked for a transfer."""
    phone = stage.talking()
    assert ask(phone.leg, refer_to(**refer)) == 202
    return phone
