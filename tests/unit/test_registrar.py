"""The registrar against RFC 3261 section 10.3, in a time of its own."""

from dataclasses import dataclass, field

import pytest

from bridge.sip.admission import Answer, SipRequest
from bridge.sip.registrar import Registrar, RegistrarSettings

HERE = ("192.0.2.7", 5060)
CONTACT = "<sip:alice@192.0.2.7>"


@dataclass
class Desk:
    """A registrar, its clock, and what it said of sources."""

    now: float = 1000.0
    trusted: list[tuple[str, bool]] = field(default_factory=list)
    contacts_max: int = 3

    def __post_init__(self) -> None:
        self.registrar = Registrar(
            ["alice", "bob"],
            RegistrarSettings(60, 3600, self.contacts_max),
            lambda: self.now,
            lambda host, is_trusted: self.trusted.append((host, is_trusted)),
        )

    def register(
        self,
        *headers: str,
        cseq: int = 1,
        call_id: str = "one",
        user: str = "alice",
        to: str = "<sip:alice@example.net>",
        source: tuple[str, int] = HERE,
        transport: str = "UDP",
    ) -> Answer:
        lines = [
            "REGISTER sip:example.net SIP/2.0",
            "Via: SIP/2.0/UDP 192.0.2.7;rport",
            f"To: {to}",
        ]
        lines += [f"Call-ID: {call_id}", f"CSeq: {cseq} REGISTER", *headers, "", ""]
        request = SipRequest("REGISTER", transport, source, ("", 0), "\r\n".join(lines))
        return self.registrar.register(request, user)

    def targets(self, user: str = "alice") -> list[str]:
        return [contact.target for contact in self.registrar.contacts(user)]


def listed(answer: Answer) -> list[str]:
    assert answer.status == 200
    assert answer.stateful
    return [value for name, value in answer.headers if name == "Contact"]


def test_register_query_renew_and_unregister() -> None:
    desk = Desk()
    assert listed(desk.register(f"Contact: {CONTACT}", "Expires: 600")) == [
        f"{CONTACT};expires=600"
    ]
    desk.now += 100
    assert listed(desk.register(cseq=2)) == [f"{CONTACT};expires=500"]
    assert listed(desk.register(f"Contact: {CONTACT};expires=700", "Expires: 9", cseq=3)) == [
        f"{CONTACT};expires=700"
    ]
    assert desk.targets() == ["sip:alice@192.0.2.7:5060"]
    assert listed(desk.register(f"Contact: {CONTACT};expires=0", cseq=4)) == []
    assert desk.targets() == []


def test_several_contacts_by_preference_and_all_removed_by_a_star() -> None:
    desk = Desk()
    answer = desk.register("Contact: <sip:a@h>;q=0.1, <sip:b@h>", "m: <sip:c@h>;q=0.5")
    assert len(listed(answer)) == 3
    assert [contact.q for contact in desk.registrar.contacts("alice")] == [1, 0.5, 0.1]
    assert desk.register("Contact: *", cseq=2).status == 400
    assert desk.register("Contact: *, <sip:a@h>", "Expires: 0", cseq=2).status == 400
    assert listed(desk.register("Contact: *", "Expires: 0", cseq=2)) == []


def test_times_are_bounded() -> None:
    desk = Desk()
    brief = desk.register(f"Contact: {CONTACT}", "Expires: 59")
    assert (brief.status, brief.headers) == (423, (("Min-Expires", "60"),))
    assert desk.targets() == []
    assert listed(desk.register(f"Contact: {CONTACT};expires=9999999999")) == [
        f"{CONTACT};expires=3600"
    ]
    assert listed(desk.register(f"Contact: {CONTACT};expires=x", cseq=2)) == [
        f"{CONTACT};expires=3600"
    ]


def test_a_contact_ends_with_its_time() -> None:
    desk = Desk()
    desk.register(f"Contact: {CONTACT};expires=60")
    desk.now += 60
    assert desk.targets() == []
    desk.registrar.expire()
    assert len(desk.registrar) == 0
    assert desk.registrar.changes == {("alice", "sip:alice@192.0.2.7"): None}


def test_what_comes_behind_a_later_request_changes_nothing() -> None:
    desk = Desk()
    desk.register(f"Contact: {CONTACT}", cseq=5)
    for cseq in (4, 5):
        assert desk.register(f"Contact: {CONTACT};expires=0", cseq=cseq).status == 400
        assert desk.register("Contact: *", "Expires: 0", cseq=cseq).status == 400
    assert desk.register(f"Contact: <sip:x@h>, {CONTACT}", cseq=5).status == 400
    assert len(desk.registrar) == 1
    assert listed(desk.register(f"Contact: {CONTACT};expires=0", cseq=1, call_id="two")) == []


def test_an_instance_has_one_contact_wherever_it_moves() -> None:
    desk = Desk()
    instance = '+sip.instance="<urn:uuid:1>"'
    desk.register(f"Contact: <sip:a@192.0.2.7:1111;transport=tcp>;{instance}")
    desk.register(f"Contact: <sip:a@192.0.2.7:2222;transport=tcp>;{instance}", call_id="two")
    assert len(desk.registrar) == 1


def test_one_contact_too_many_pushes_out_the_one_renewed_longest_ago() -> None:
    desk = Desk()
    for number, name in enumerate("abcad", start=1):
        desk.register(f"Contact: <sip:{name}@h>", cseq=number)
    kept = {binding.uri for binding in desk.registrar.bindings()}
    assert kept == {"sip:c@h", "sip:a@h", "sip:d@h"}
    many = ", ".join(f"<sip:{name}@h>" for name in "wxyz")
    assert desk.register(f"Contact: {many}", cseq=9).status == 403


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        ({"to": "<sip:bob@example.net>"}, 403),
        ({"user": "zelda", "to": "<sip:zelda@example.net>"}, 403),
        ({"cseq": 2**31}, 400),
        ({"cseq": -1}, 400),
        ({"call_id": ""}, 400),
        ({"call_id": "x" * 300}, 400),
        ({"call_id": "\udcff"}, 400),
    ],
)
def test_what_is_refused(changed: dict[str, object], status: int) -> None:
    desk = Desk()
    assert desk.register(f"Contact: {CONTACT}", **changed).status == status  # type: ignore[arg-type]
    assert len(desk.registrar) == 0


def test_what_we_do_not_speak_is_refused() -> None:
    desk = Desk()
    refused = desk.register(f"Contact: {CONTACT}", "Require: gruu, outbound")
    assert (refused.status, refused.headers) == (420, (("Unsupported", "gruu, outbound"),))
    assert desk.register("Contact: <tel:1>").status == 400


def test_a_source_is_trusted_from_its_first_contact_to_its_last() -> None:
    desk = Desk()
    desk.register("Contact: <sip:a@h>", source=("192.0.2.8", 1))
    desk.register("Contact: <sip:b@h>", cseq=2, source=("192.0.2.8", 2))
    desk.register("Contact: <sip:a@h>", cseq=3, source=("192.0.2.9", 2))
    assert desk.registrar.knows_source("192.0.2.8")
    desk.register("Contact: <sip:b@h>;expires=0", cseq=4)
    assert not desk.registrar.knows_source("192.0.2.8")
    assert desk.trusted == [("192.0.2.8", True), ("192.0.2.9", True), ("192.0.2.8", False)]


def test_phones_of_one_ipv6_network_are_one_source() -> None:
    desk = Desk()
    for number in (1, 2):
        desk.register(f"Contact: <sip:{number}@h>", source=(f"2001:db8::{number}", 5060))
    desk.register("Contact: <sip:1@h>;expires=0", cseq=2, source=("2001:db8::1", 5060))
    assert desk.trusted == [("2001:db8::1", True)]
    assert desk.registrar.knows_source("2001:db8::2")


def test_what_was_kept_is_taken_as_far_as_it_still_fits() -> None:
    before, after = Desk(), Desk(contacts_max=1)
    before.register("Contact: <sip:a@192.0.2.7:5070>", transport="TCP", source=("192.0.2.7", 999))
    before.register("Contact: <sip:b@h>", cseq=2)
    gone = Registrar(["carol"], RegistrarSettings(), lambda: 0.0)
    gone.restore(before.registrar.bindings())
    assert len(gone) == 0
    assert set(gone.changes.values()) == {None}
    after.registrar.restore(before.registrar.bindings())
    assert len(after.registrar) == 1


def test_a_contact_that_does_not_answer_is_called_unreachable_until_it_renews() -> None:
    desk = Desk()
    desk.register(f"Contact: {CONTACT}")
    (binding,) = desk.registrar.bindings()
    desk.registrar.mark(binding, reachable=False)
    assert not desk.registrar.contacts("alice")[0].is_reachable
    desk.register(f"Contact: {CONTACT}", cseq=2)
    assert desk.registrar.contacts("alice")[0].is_reachable
    desk.registrar.mark(binding, reachable=False)  # of the binding before: says nothing of this one
    assert desk.registrar.contacts("alice")[0].is_reachable


def test_nothing_shows_in_a_repr() -> None:
    desk = Desk()
    desk.register("Contact: <sip:4930123456@192.0.2.7>")
    assert "4930123456" not in repr(desk.registrar.bindings())
    assert "4930123456" not in repr(desk.registrar.contacts("alice"))
