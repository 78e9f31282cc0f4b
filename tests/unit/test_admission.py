"""How many calls a source may have."""

import pytest

from bridge.iax2 import Address
from bridge.iax2.admission import (
    CALLS_PER_SOURCE_MAX,
    UNAUTHENTICATED_MAX,
    UNAUTHENTICATED_PER_SOURCE_MAX,
    Admission,
    source_of,
)

HERE: Address = ("192.0.2.9", 4569)
ELSEWHERE: Address = ("192.0.2.10", 4569)


def test_eight_calls_of_a_source_wait_for_their_proof_at_a_time() -> None:
    admission = Admission()
    for _ in range(UNAUTHENTICATED_PER_SOURCE_MAX):
        assert admission.why_refused(HERE) is None
        admission.enter(HERE)
    assert admission.why_refused(HERE) == "too many unauthenticated calls"
    assert admission.why_refused(ELSEWHERE) is None
    admission.prove(HERE)
    assert admission.why_refused(HERE) is None


def test_a_call_that_is_forgotten_without_proof_makes_room() -> None:
    admission = Admission()
    for _ in range(UNAUTHENTICATED_PER_SOURCE_MAX):
        admission.enter(HERE)
    admission.leave(HERE, proven=False)
    assert admission.why_refused(HERE) is None


def test_so_many_of_all_sources() -> None:
    admission = Admission()
    for host in range(UNAUTHENTICATED_MAX):
        admission.enter((f"198.51.{host // 250}.{host % 250}", 4569))
    assert admission.why_refused(HERE) == "too many unauthenticated calls"
    admission.leave(("198.51.0.0", 4569), proven=False)
    assert admission.why_refused(HERE) is None


def test_a_source_has_as_many_calls_as_asterisk_gives_an_address() -> None:
    admission = Admission()
    for _ in range(CALLS_PER_SOURCE_MAX):
        assert admission.why_refused(HERE) is None
        admission.enter(HERE)
        admission.prove(HERE)
    assert admission.why_refused(HERE) == "too many calls of a source"
    assert admission.why_refused(ELSEWHERE) is None
    admission.leave(HERE, proven=True)
    assert admission.why_refused(HERE) is None


def test_nothing_is_kept_of_sources_without_calls() -> None:
    admission = Admission()
    for host in range(20):
        address = (f"192.0.2.{host}", 4569)
        assert admission.why_refused(address) is None
        admission.enter(address)
        if host % 2:
            admission.prove(address)
        admission.leave(address, proven=bool(host % 2))
    assert (admission.sources, len(admission._unproven), admission._unproven_total) == (0, 0, 0)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("192.0.2.9", "192.0.2.9", True),
        ("192.0.2.9", "192.0.2.10", False),
        ("2001:db8:1:2::3", "2001:db8:1:2:ffff::1", True),
        ("2001:db8:1:2::3", "2001:db8:1:3::3", False),
        ("::ffff:192.0.2.9", "192.0.2.9", True),
        ("::ffff:192.0.2.9", "::ffff:192.0.2.10", False),
        ("fe80::1%eth0", "fe80::2%eth0", True),
    ],
)
def test_a_source_is_an_address_or_a_network(one: str, other: str, same: bool) -> None:  # noqa: FBT001
    assert (source_of((one, 1)) == source_of((other, 2, 0, 0))) is same
