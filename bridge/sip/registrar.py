"""The registrar: which contacts each phone has, by the rules of RFC 3261 section 10.3.

Pure: `now` is an argument, requests come authenticated, and what is to be kept for after a restart
is collected in `changes`. It must not know pjsua2, SQLite nor digest.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from bridge.sip.admission import Answer, Headers, SipRequest
from bridge.sip.contacts import (
    ContactField,
    Flow,
    address_of,
    is_plain,
    parse_contact,
    seconds,
    target_of,
    uses_rport,
)
from bridge.sip.headers import MessageHeaders, split_list
from bridge.sip.messages import user_part
from bridge.sip.penalties import source_of

_CALL_ID_CHARACTERS_MAX = 256
_CSEQ_MAX = 2**31
_INTERVAL_TOO_BRIEF = 423

BAD_REQUEST = Answer(400)
NOT_YOURS = Answer(403)
BEHIND = Answer(400, "Out Of Order")


@dataclass(frozen=True, slots=True)
class RegistrarSettings:
    """Bounds on what phones ask for; times in seconds."""

    min_expires_s: int = 60
    max_expires_s: int = 3600
    contacts_max: int = 5


@dataclass(frozen=True, slots=True)
class Binding:
    """One contact of a phone until `expires_at`; `key` is its instance, or else its URI.

    `is_restored` says that it was made before a restart, so that a connection it came by is gone.
    """

    user: str
    key: str = field(repr=False)
    uri: str = field(repr=False)
    flow: Flow
    call_id: str = field(repr=False)
    cseq: int
    expires_at: float
    q: float = 1.0
    is_restored: bool = False

    @property
    def target(self) -> str:
        """The URI to send to."""
        return (address_of if self.is_restored else target_of)(self.uri, self.flow)


@dataclass(frozen=True, slots=True)
class Contact:
    """Where a phone can be called. `target` is a SIP URI that leads there through NAT, too."""

    target: str = field(repr=False)
    transport: str
    source: tuple[str, int]
    q: float
    is_reachable: bool


Bindings = dict[str, Binding]
Key = tuple[str, str]


class _Order(NamedTuple):
    """What tells earlier requests of one registration from later ones."""

    call_id: str
    cseq: int


class _RefusalError(Exception):
    """A REGISTER that changes nothing."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.status)
        self.answer = answer


class Registrar:
    """The bindings of all phones.

    Args:
        users: Who may have contacts.
        settings: Bounds.
        clock: Seconds that never step back.
        trust: Told of each source address that gains its first contact (True) or loses its last.

    Attributes:
        changes: What whoever keeps the bindings has yet to take, None for what is gone.
        on_change: Called when something is put there.
    """

    def __init__(
        self,
        users: Iterable[str],
        settings: RegistrarSettings,
        clock: Callable[[], float],
        trust: Callable[[str, bool], None] = lambda _host, _is_trusted: None,
    ) -> None:
        self.changes: dict[Key, Binding | None] = {}
        self.on_change: Callable[[], object] = lambda: None
        self._settings = settings
        self._clock = clock
        self._trust = trust
        self._phones: Mapping[str, Bindings] = {user: {} for user in users}
        self._sources: Counter[str] = Counter()
        self._unreachable: set[Key] = set()

    def __len__(self) -> int:
        return sum(map(len, self._phones.values()))

    # What others ask.

    def contacts(self, user: str) -> tuple[Contact, ...]:
        """Where to call a phone: what the phone prefers first, the latest of equals first."""
        live = [b for b in self._phones.get(user, {}).values() if b.expires_at > self._clock()]
        live.sort(key=lambda binding: (-binding.q, -binding.expires_at))
        return tuple(map(self._contact, live))

    def knows_source(self, host: str) -> bool:
        """Whether a contact was registered from this address, or from its /64 of IPv6."""
        return source_of(host) in self._sources

    def bindings(self) -> list[Binding]:
        """All of them, as they are now."""
        return [binding for phone in self._phones.values() for binding in phone.values()]

    def restore(self, bindings: Iterable[Binding]) -> None:
        """Take what was kept before a restart, as far as its phones are still configured."""
        for binding in bindings:
            phone = self._phones.get(binding.user)
            if phone is None or len(phone) >= self._settings.contacts_max:
                self._change((binding.user, binding.key), None)
                continue
            self._set(phone, binding)

    def is_current(self, binding: Binding) -> bool:
        """Whether it is neither gone nor replaced."""
        return self._phones[binding.user].get(binding.key) is binding

    def mark(self, binding: Binding, *, reachable: bool) -> None:
        """Note whether a contact answers."""
        key = (binding.user, binding.key)
        if reachable:
            self._unreachable.discard(key)
        elif self.is_current(binding):
            self._unreachable.add(key)

    def expire(self) -> None:
        """Forget what has run out."""
        now = self._clock()
        for binding in self.bindings():
            if binding.expires_at <= now:
                self._remove(self._phones[binding.user], binding.key)

    # REGISTER, in the order of RFC 3261 section 10.3.

    def register(self, request: SipRequest, user: str) -> Answer:
        """Answer the REGISTER of an authenticated phone."""
        headers = request.headers
        try:
            self._serve(request, headers, user)
        except _RefusalError as refusal:
            return refusal.answer
        return Answer(200, headers=self._listed(user), stateful=True)

    def _serve(self, request: SipRequest, headers: MessageHeaders, user: str) -> None:
        if required := headers.all("require"):
            raise _RefusalError(Answer(420, headers=(("Unsupported", ", ".join(required)),)))
        phone = self._phones.get(user)
        if phone is None or user_part(headers.first("to")) != user:
            raise _RefusalError(NOT_YOURS)
        fields = [part for value in headers.all("contact") for part in split_list(value)]
        order = _order(headers)
        self._drop_expired(phone)
        if "*" in fields:
            self._unregister_all(phone, fields, headers, order)
        elif fields:
            wanted = [self._wanted(text, headers) for text in fields]
            flow = Flow(request.transport, *request.source, uses_rport(headers))
            self._update(phone, user, wanted, flow, order)

    def _drop_expired(self, phone: Bindings) -> None:
        now = self._clock()
        for key in [key for key, binding in phone.items() if binding.expires_at <= now]:
            self._remove(phone, key)

    def _unregister_all(
        self, phone: Bindings, fields: list[str], headers: MessageHeaders, order: _Order
    ) -> None:
        if fields != ["*"] or seconds(headers.first("expires")) != 0:
            raise _RefusalError(BAD_REQUEST)
        for binding in phone.values():
            _check_order(binding, order)
        for key in list(phone):
            self._remove(phone, key)

    def _wanted(self, text: str, headers: MessageHeaders) -> ContactField:
        """A Contact with its own time, the request's, or ours; never longer than we allow."""
        contact = parse_contact(text)
        if contact is None:
            raise _RefusalError(BAD_REQUEST)
        expires_s = contact.expires_s
        if expires_s is None:
            expires_s = seconds(headers.first("expires"))
        if expires_s is None:
            expires_s = self._settings.max_expires_s
        if 0 < expires_s < self._settings.min_expires_s:
            least = ("Min-Expires", str(self._settings.min_expires_s))
            raise _RefusalError(Answer(_INTERVAL_TOO_BRIEF, "Interval Too Brief", (least,)))
        return replace(contact, expires_s=min(expires_s, self._settings.max_expires_s))

    def _update(
        self,
        phone: Bindings,
        user: str,
        wanted: list[ContactField],
        flow: Flow,
        order: _Order,
    ) -> None:
        """All or nothing: order is checked before anything changes."""
        if len(wanted) > self._settings.contacts_max:
            raise _RefusalError(NOT_YOURS)
        for contact in wanted:
            if old := phone.get(contact.instance or contact.uri):
                _check_order(old, order)
        for contact in wanted:
            key = contact.instance or contact.uri
            if not contact.expires_s:
                self._remove(phone, key)
                continue
            expires_at = self._clock() + contact.expires_s
            binding = Binding(user, key, contact.uri, flow, *order, expires_at, contact.q)
            self._set(phone, binding)
        while len(phone) > self._settings.contacts_max:
            self._remove(phone, next(iter(phone)))

    def _set(self, phone: Bindings, binding: Binding) -> None:
        """Keep a binding as the latest of its phone."""
        self._remove(phone, binding.key)
        phone[binding.key] = binding
        source = source_of(binding.flow.host)
        self._sources[source] += 1
        if self._sources[source] == 1:
            self._trust(binding.flow.host, True)  # noqa: FBT003  # a callback has no keywords
        self._change((binding.user, binding.key), binding)

    def _remove(self, phone: Bindings, key: str) -> None:
        binding = phone.pop(key, None)
        if binding is None:
            return
        self._unreachable.discard((binding.user, key))
        self._change((binding.user, key), None)
        source = source_of(binding.flow.host)
        self._sources[source] -= 1
        if not self._sources[source]:
            del self._sources[source]
            self._trust(binding.flow.host, False)  # noqa: FBT003  # as above

    def _change(self, key: Key, binding: Binding | None) -> None:
        self.changes[key] = binding
        self.on_change()

    def _listed(self, user: str) -> Headers:
        """All contacts of a phone, each with the seconds it has left."""
        now = self._clock()
        return tuple(
            ("Contact", f"<{binding.uri}>;expires={max(1, round(binding.expires_at - now))}")
            for binding in self._phones[user].values()
        )

    def _contact(self, binding: Binding) -> Contact:
        flow = binding.flow
        is_reachable = (binding.user, binding.key) not in self._unreachable
        return Contact(binding.target, flow.kind, (flow.host, flow.port), binding.q, is_reachable)


def _order(headers: MessageHeaders) -> _Order:
    """Call-ID and the number of CSeq."""
    call_id = headers.first("call-id")
    number = headers.first("cseq").partition(" ")[0]
    is_known_again = 0 < len(call_id) <= _CALL_ID_CHARACTERS_MAX and is_plain(call_id)
    if not is_known_again or not number.isdecimal():
        raise _RefusalError(BAD_REQUEST)
    cseq = int(number[:10])
    if cseq >= _CSEQ_MAX:
        raise _RefusalError(BAD_REQUEST)
    return _Order(call_id, cseq)


def _check_order(binding: Binding, order: _Order) -> None:
    """A request of the same registration that comes behind a later one changes nothing."""
    if binding.call_id == order.call_id and order.cseq <= binding.cseq:
        raise _RefusalError(BEHIND)
