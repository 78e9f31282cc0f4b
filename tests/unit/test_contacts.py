"""Contacts: what can be one, and where it leads."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.sip.contacts import ContactField, Flow, address_of, parse_contact, target_of

NAT = Flow("UDP", "203.0.113.9", 40001, uses_rport=True)


@pytest.mark.parametrize(
    ("text", "contact"),
    [
        ("<sip:a@192.0.2.1:5062>", ContactField("sip:a@192.0.2.1:5062")),
        ("sip:a@192.0.2.1;expires=60", ContactField("sip:a@192.0.2.1", 60)),
        (
            '"A, <b>" <sip:a@host;transport=tcp>;q=0.5;expires=0;+sip.instance="<urn:uuid:1>"',
            ContactField("sip:a@host;transport=tcp", 0, 0.5, "<urn:uuid:1>"),
        ),
        ("<sips:[2001:db8::1]:5061>", ContactField("sips:[2001:db8::1]:5061")),
        ("<sip:a@h>;expires=-1;q=7", ContactField("sip:a@h")),
    ],
)
def test_contacts(text: str, contact: ContactField) -> None:
    assert parse_contact(text) == contact


@pytest.mark.parametrize(
    "text",
    [
        *("", "*", "<sip:a@h", "<tel:123>", "<sip:>", "<http://h>", "<sip:a@h:99999>"),
        *("<sip:a b@h>", "<sip:\udcff@h>", "<sip:a@h;x=\0>", '<sip:a@h>;+sip.instance="\udcff"'),
    ],
)
def test_what_is_no_contact(text: str) -> None:
    assert parse_contact(text) is None
    assert parse_contact(f"<sip:{'a' * 600}@h>") is None


@given(st.text(max_size=200))
def test_garbage(text: str) -> None:
    for contact in (parse_contact(text), parse_contact(f"<sip:{text}>")):
        if contact is not None:
            assert "203.0.113.9:40001" in target_of(contact.uri, NAT)


@pytest.mark.parametrize(
    ("uri", "flow", "target"),
    [
        ("sip:a@10.0.0.1:5060;x=y", NAT, "sip:a@203.0.113.9:40001;x=y"),
        ("sip:a@evil.example;maddr=192.0.2.9;lr", NAT, "sip:a@203.0.113.9:40001"),
        ("sip:a@203.0.113.9:5062", Flow("UDP", "203.0.113.9", 40001), "sip:a@203.0.113.9:5062"),
        ("sip:a@203.0.113.9", Flow("UDP", "203.0.113.9", 40001), "sip:a@203.0.113.9:5060"),
        ("sip:a@10.0.0.1", Flow("UDP", "203.0.113.9", 40001), "sip:a@203.0.113.9:40001"),
        (
            "sip:a@203.0.113.9;transport=udp",
            Flow("TCP", "203.0.113.9", 40001),
            "sip:a@203.0.113.9:40001;transport=tcp",
        ),
        (
            "sips:a@[2001:db8::1]",
            Flow("TLS6", "2001:db8::1", 40001),
            "sip:a@[2001:db8::1]:40001;transport=tls",
        ),
    ],
)
def test_a_contact_leads_to_where_its_register_came_from(uri: str, flow: Flow, target: str) -> None:
    assert target_of(uri, flow) == target


def test_once_the_connection_is_gone_the_contacts_own_port_is_taken() -> None:
    tcp = Flow("TCP", "203.0.113.9", 40001)
    assert address_of("sip:a@203.0.113.9:5070", tcp) == "sip:a@203.0.113.9:5070;transport=tcp"
    assert address_of("sip:a@10.0.0.1:5070", NAT) == "sip:a@203.0.113.9:40001"
