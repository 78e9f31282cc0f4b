"""SIP statuses and IAX2 causes, each in the other's words.

Source: RFC 3398 sections 7.2.4.1 and 8.2.6.1 (the causes are Q.850's), RFC 3326.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from bridge.iax2.constants import Cause
from bridge.iax2.events import EndReason

RETRY_AFTER_S: Final = 30


@dataclass(frozen=True, slots=True)
class FinalStatus:
    """A final SIP response, and after how many seconds another try makes sense."""

    status: int
    retry_after_s: int | None = None


UNAVAILABLE: Final = FinalStatus(503, RETRY_AFTER_S)

_STATUS_OF_CAUSE: Final[Mapping[int, int]] = MappingProxyType(
    {
        Cause.UNASSIGNED_NUMBER: 404,
        Cause.NO_ROUTE_TRANSIT_NETWORK: 404,
        Cause.NO_ROUTE_DESTINATION: 404,
        Cause.NORMAL_CLEARING: 480,
        Cause.USER_BUSY: 486,
        Cause.NO_USER_RESPONSE: 408,
        Cause.NO_ANSWER: 480,
        Cause.CALL_REJECTED: 403,
        Cause.NUMBER_CHANGED: 410,
        Cause.DESTINATION_OUT_OF_ORDER: 502,
        Cause.INVALID_NUMBER_FORMAT: 484,
        Cause.FACILITY_REJECTED: 501,
        Cause.NORMAL_UNSPECIFIED: 480,
        Cause.FACILITY_NOT_SUBSCRIBED: 403,
        Cause.OUTGOING_CALL_BARRED: 403,
        Cause.INCOMING_CALL_BARRED: 403,
        Cause.BEARER_CAPABILITY_NOT_AUTHORIZED: 403,
        Cause.BEARER_CAPABILITY_NOT_AVAILABLE: 488,
        Cause.BEARER_CAPABILITY_NOT_IMPLEMENTED: 488,
        Cause.INCOMPATIBLE_DESTINATION: 488,
        Cause.RECOVERY_ON_TIMER_EXPIRY: 504,
    }
)

_CAUSE_OF_STATUS: Final[Mapping[int, Cause]] = MappingProxyType(
    {
        403: Cause.CALL_REJECTED,
        404: Cause.UNASSIGNED_NUMBER,
        408: Cause.RECOVERY_ON_TIMER_EXPIRY,
        480: Cause.NO_USER_RESPONSE,
        484: Cause.INVALID_NUMBER_FORMAT,
        486: Cause.USER_BUSY,
        488: Cause.BEARER_CAPABILITY_NOT_AVAILABLE,
        503: Cause.NORMAL_TEMPORARY_FAILURE,
        600: Cause.USER_BUSY,
        603: Cause.CALL_REJECTED,
    }
)
_ERRORS_FROM: Final = 400


def status_of_end(reason: EndReason, cause: int | None) -> FinalStatus:
    """Return what a phone that is not yet answered hears when the link's call ended."""
    if reason not in (EndReason.REJECTED, EndReason.HANGUP):
        return UNAVAILABLE
    status = _STATUS_OF_CAUSE.get(cause) if cause is not None else None
    if status is None and reason is EndReason.REJECTED and cause is None:
        return FinalStatus(403)
    return UNAVAILABLE if status is None else FinalStatus(status)


def cause_of_sip(status: int, q850: int | None) -> int:
    """Return the cause for the link when the phone's leg ended: its own, if it told one."""
    if q850 is not None and 0 < q850 <= Cause.INTERWORKING:
        return q850
    if status < _ERRORS_FROM:
        return Cause.NORMAL_CLEARING
    return _CAUSE_OF_STATUS.get(status, Cause.NORMAL_CLEARING)
