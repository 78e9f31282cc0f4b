"""SIP statuses and IAX2 causes in each other's words."""

import pytest

from bridge.bridging.causes import RETRY_AFTER_S, cause_of_end, cause_of_sip, status_of_end
from bridge.iax2 import Cause, EndReason

PEERS_WORD = [EndReason.REJECTED, EndReason.HANGUP]
OWN_WORD = [reason for reason in EndReason if reason not in PEERS_WORD]


@pytest.mark.parametrize("reason", PEERS_WORD)
@pytest.mark.parametrize(
    ("cause", "status"),
    [
        (Cause.UNASSIGNED_NUMBER, 404),
        (Cause.NO_ROUTE_DESTINATION, 404),
        (Cause.NORMAL_CLEARING, 480),
        (Cause.USER_BUSY, 486),
        (Cause.NO_USER_RESPONSE, 408),
        (Cause.NO_ANSWER, 480),
        (Cause.CALL_REJECTED, 403),
        (Cause.FACILITY_NOT_SUBSCRIBED, 403),
        (Cause.NUMBER_CHANGED, 410),
        (Cause.INVALID_NUMBER_FORMAT, 484),
        (Cause.INCOMPATIBLE_DESTINATION, 488),
        (Cause.RECOVERY_ON_TIMER_EXPIRY, 504),
    ],
)
def test_a_cause_of_the_peer_tells_the_status(reason: EndReason, cause: int, status: int) -> None:
    final = status_of_end(reason, cause)
    assert (final.status, final.retry_after_s) == (status, None)


@pytest.mark.parametrize("reason", PEERS_WORD)
@pytest.mark.parametrize(
    "cause",
    [
        Cause.NORMAL_CIRCUIT_CONGESTION,
        Cause.NETWORK_OUT_OF_ORDER,
        Cause.NORMAL_TEMPORARY_FAILURE,
        Cause.SWITCH_CONGESTION,
        Cause.PROTOCOL_ERROR,
        77,
        127,
    ],
)
def test_trouble_and_what_nobody_knows_is_503(reason: EndReason, cause: int) -> None:
    final = status_of_end(reason, cause)
    assert (final.status, final.retry_after_s) == (503, RETRY_AFTER_S)


@pytest.mark.parametrize("cause", [None, 0, 128, 255])
def test_a_peer_that_names_no_real_cause(cause: int | None) -> None:
    assert status_of_end(EndReason.REJECTED, cause).status == 403
    assert cause_of_end(EndReason.REJECTED, cause) == Cause.CALL_REJECTED
    assert status_of_end(EndReason.HANGUP, cause).status == 480
    assert cause_of_end(EndReason.HANGUP, cause) == Cause.NORMAL_CLEARING


@pytest.mark.parametrize("reason", OWN_WORD)
def test_a_link_that_fails_is_unavailable(reason: EndReason) -> None:
    assert status_of_end(reason, None).status == 503
    assert status_of_end(reason, None).retry_after_s == RETRY_AFTER_S


@pytest.mark.parametrize("reason", EndReason)
def test_every_end_has_a_cause_for_the_phone(reason: EndReason) -> None:
    assert cause_of_end(reason, None) in set(Cause)


@pytest.mark.parametrize("cause", [1, Cause.USER_BUSY, 77, 127])
def test_the_peers_own_cause_passes_unchanged(cause: int) -> None:
    assert cause_of_end(EndReason.HANGUP, cause) == cause


@pytest.mark.parametrize(
    ("status", "cause"),
    [
        (200, Cause.NORMAL_CLEARING),
        (487, Cause.NORMAL_CLEARING),
        (403, Cause.CALL_REJECTED),
        (404, Cause.UNASSIGNED_NUMBER),
        (408, Cause.RECOVERY_ON_TIMER_EXPIRY),
        (480, Cause.NO_USER_RESPONSE),
        (484, Cause.INVALID_NUMBER_FORMAT),
        (486, Cause.USER_BUSY),
        (488, Cause.BEARER_CAPABILITY_NOT_AVAILABLE),
        (500, Cause.NORMAL_TEMPORARY_FAILURE),
        (503, Cause.NORMAL_TEMPORARY_FAILURE),
        (504, Cause.RECOVERY_ON_TIMER_EXPIRY),
        (600, Cause.USER_BUSY),
        (603, Cause.CALL_REJECTED),
        (699, Cause.NORMAL_CLEARING),
    ],
)
def test_how_the_phones_leg_ended_tells_the_cause(status: int, cause: Cause) -> None:
    assert cause_of_sip(status, None) == cause


def test_a_cause_that_the_phone_named_passes() -> None:
    assert cause_of_sip(200, Cause.USER_BUSY) == Cause.USER_BUSY


@pytest.mark.parametrize("q850", [-1, 0, 128, 999])
def test_a_cause_that_is_none_is_not_passed(q850: int) -> None:
    assert cause_of_sip(200, q850) == Cause.NORMAL_CLEARING
