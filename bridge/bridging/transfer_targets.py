"""Whom a phone may give its call to: other phones of the bridge, and nobody else.

A REFER names a user at one of our addresses, or the contact that another phone has told it. Never
is anything called that the configuration, or a registration, does not name as a phone.
"""

from collections.abc import Iterable
from ipaddress import ip_address
from typing import Protocol

from bridge.bridging.transfer_services import TransferRefusedError
from bridge.dialing.delivery import DeliveryPlan, Phone, RegisteredPhone
from bridge.dialing.plan import CALLED_CHARACTERS_MAX, canonical_number
from bridge.sip.messages import uri_place
from bridge.sip.refer import Refer

_FORBIDDEN = 403
_NOT_FOUND = 404


class RegisteredPhones(Protocol):
    """Where phones that register can be called."""

    def targets(self, user: str) -> tuple[str, ...] | None:
        """Return the SIP URIs of a phone's contacts; None where none is so called."""

    def targets_at(self, user: str, place: tuple[str, int]) -> tuple[str, ...]:
        """Return the SIP URIs of the contacts that are this user at this host and port."""


class TransferTargets:
    """Finds the phone that a REFER names.

    Args:
        delivery: Which numbers ring a phone.
        phones: Those that register; None: none do.
        own_hosts: What we are called, beside what a phone calls us in its dialog.
    """

    def __init__(
        self, delivery: DeliveryPlan, phones: RegisteredPhones | None, own_hosts: Iterable[str]
    ) -> None:
        self._delivery = delivery
        self._phones = phones
        self._own_hosts = frozenset(map(_canonical, own_hosts))

    def find(self, refer: Refer, link: str) -> tuple[str, ...]:
        """Return the SIP URIs of the phone that a call of a link is to be given to.

        Raises:
            TransferRefusedError: there is no such phone here.
        """
        if self._phones and (contacts := self._phones.targets_at(refer.user, refer.place)):
            return contacts
        phone = self._delivered(refer.user, link)
        host = _canonical(refer.place[0])
        if host not in self._own_hosts | {_canonical(refer.own_host)}:
            if isinstance(phone, Phone) and uri_place(phone.uri) == refer.place:
                return (phone.uri,)
            raise TransferRefusedError(_FORBIDDEN, "it names a phone of somebody else")
        registered = self._phones.targets(refer.user) if self._phones else None
        if registered is not None:
            return registered
        if isinstance(phone, Phone):
            return (phone.uri,)
        if isinstance(phone, RegisteredPhone) and self._phones:
            return self._phones.targets(phone.user) or ()
        raise TransferRefusedError(_NOT_FOUND, "no phone has that name or number")

    def _delivered(self, user: str, link: str) -> object:
        number = canonical_number(user)
        return self._delivery.find(number, link) if len(number) <= CALLED_CHARACTERS_MAX else None


def _canonical(host: str) -> str:
    try:
        return str(ip_address(host))
    except ValueError:
        return host.lower()
