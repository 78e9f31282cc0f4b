"""SIP statuses and IAX2 causes, each in the other's words.

Source: RFC 3398 sections 7.2.4.1 and 8.2.6.1 (the causes are Q.850's), RFC 3326.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from bridge.iax2.constants import Cause, ControlSubclass
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
        500: Cause.NORMAL_TEMPORARY_FAILURE,
        503: Cause.NORMAL_TEMPORARY_FAILURE,
        504: Cause.RECOVERY_ON_TIMER_EXPIRY,
        600: Cause.USER_BUSY,
        603: Cause.CALL_REJECTED,
    }
)
_CAUSE_OF_REASON: Final[Mapping[EndReason, Cause]] = MappingProxyType(
    {
        EndReason.LOCAL: Cause.NORMAL_CLEARING,
        EndReason.HANGUP: Cause.NORMAL_CLEARING,
        EndReason.REJECTED: Cause.CALL_REJECTED,
        EndReason.NO_RESPONSE: Cause.NETWORK_OUT_OF_ORDER,
        EndReason.RESTARTED: Cause.NETWORK_OUT_OF_ORDER,
        EndReason.SECRETS_DIFFER: Cause.NORMAL_TEMPORARY_FAILURE,
        EndReason.UNKNOWN_USER: Cause.NORMAL_TEMPORARY_FAILURE,
        EndReason.DOWNGRADE: Cause.NORMAL_TEMPORARY_FAILURE,
        EndReason.REPLAYED_CHALLENGE: Cause.NORMAL_TEMPORARY_FAILURE,
        EndReason.REFLECTED_CHALLENGE: Cause.NORMAL_TEMPORARY_FAILURE,
        EndReason.LOST_CHALLENGE: Cause.NORMAL_TEMPORARY_FAILURE,
        EndReason.PROTOCOL_ERROR: Cause.PROTOCOL_ERROR,
    }
)
CAUSE_OF_CONTROL: Final[Mapping[int, Cause]] = MappingProxyType(
    {
        ControlSubclass.BUSY: Cause.USER_BUSY,
        ControlSubclass.CONGESTION: Cause.SWITCH_CONGESTION,
    }
)
"""What a CONTROL frame in place of an answer means; after the answer it is a tone."""

CONTROL_OF_CAUSE: Final[Mapping[int, ControlSubclass]] = MappingProxyType(
    {
        Cause.USER_BUSY: ControlSubclass.BUSY,
        Cause.NORMAL_CIRCUIT_CONGESTION: ControlSubclass.CONGESTION,
        Cause.NORMAL_TEMPORARY_FAILURE: ControlSubclass.CONGESTION,
        Cause.SWITCH_CONGESTION: ControlSubclass.CONGESTION,
    }
)
"""What else than HANGUP's cause tells a caller's side why; nothing: the cause says it all."""

_ERRORS_FROM: Final = 400
_CAUSES: Final = range(1, 128)
"""A peer's octet may hold more than Q.850 has."""


def status_of_end(reason: EndReason, cause: int | None) -> FinalStatus:
    """Return what a phone that is not yet answered hears when the link's call ended."""
    if reason not in (EndReason.REJECTED, EndReason.HANGUP):
        return UNAVAILABLE
    status = _STATUS_OF_CAUSE.get(cause_of_end(reason, cause))
    return UNAVAILABLE if status is None else FinalStatus(status)


def cause_of_end(reason: EndReason, cause: int | None) -> int:
    """Return the cause for the phone when the link's call ended: the peer's, if it told one."""
    if cause is not None and cause in _CAUSES:
        return cause
    return _CAUSE_OF_REASON[reason]


def cause_of_sip(status: int, q850: int | None) -> int:
    """Return the cause for the link when the phone's leg ended: its own, if it told one."""
    if q850 is not None and q850 in _CAUSES:
        return q850
    if status < _ERRORS_FROM:
        return Cause.NORMAL_CLEARING
    return _CAUSE_OF_STATUS.get(status, Cause.NORMAL_CLEARING)
