"""Peers that register with us: each proves its secret, and is then where it says it is.

A peer registers from the address that its call token has proven. Whoever is not known, or has
another secret, is asked and refused alike.

Source: RFC 5456 section 6.1; Asterisk chan_iax2, update_registry(), for the elements of REGACK.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple

from bridge.iax2.admission import Source, host_of, source_of
from bridge.iax2.auth import Address, equal, md5_result
from bridge.iax2.clear_dialog import ClearDialog
from bridge.iax2.constants import AuthMethod, Cause, ElementType, IaxSubclass
from bridge.iax2.elements import ElementValue, InformationElements, parse_elements_untrusted
from bridge.iax2.errors import LocalProtocolError
from bridge.iax2.frames import FullFrame
from bridge.iax2.registration_states import (
    REGISTRAR_TRANSITIONS,
    RegistrationInput,
    RegistrationState,
)
from bridge.iax2.services import PeerServices

REFRESH_DEFAULT_S: Final = 60
REFRESH_MIN_S: Final = 30
REFRESH_MAX_S: Final = 300
"""What a peer gets that asks for nothing, and what its wish is limited to."""
GRACE_S: Final = 10.0
"""How long a registration outlives what was granted, as Asterisk's does."""
EXCHANGE_S: Final = 10.0
EXCHANGES_MAX: Final = 256
EXCHANGES_PER_SOURCE_MAX: Final = 8

_NOBODYS_OCTETS: Final = 32
_REFUSAL: Final = "Registration Refused"
_AF_INET: Final = 2
_AF_INET6: Final = 10
_IPV4_OCTETS: Final = 4
_REQUESTS: Final = frozenset({IaxSubclass.REGREQ, IaxSubclass.REGREL})


@dataclass(frozen=True, slots=True)
class Registrant:
    """A peer that may register: the name and the secret that it does it with.

    Attributes:
        peer: What we call it, in events.
        username: In clear on the wire.
        secret: That of no call.
    """

    peer: str
    username: str
    secret: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class RegistrantSeen:
    """Where a peer has registered; both None where it has not, or not any more.

    Attributes:
        address: Where it is.
        expires_at: When that is forgotten, in seconds on the clock of `now`.
        refused: Tries to register in its name that proved another secret.
    """

    address: Address | None = None
    expires_at: float | None = None
    refused: int = 0


@dataclass(frozen=True, slots=True)
class RegistrantMoved:
    """A peer registered from somewhere else than before, or its registration is over."""

    peer: str
    address: Address | None


@dataclass(frozen=True, slots=True)
class RegistrantRefused:
    """Somebody proved another secret in a peer's name; told once until the peer proves its own."""

    peer: str


class _Request(NamedTuple):
    """What tells a request that was sent again from another one."""

    address: Address
    source_call_number: int
    token: bytes
    source: Source


class Binding:
    """Where one peer has registered, until it releases that or it expires."""

    def __init__(self, services: PeerServices, registrant: Registrant) -> None:
        self.registrant = registrant
        self.filed: list[float] = []
        self.seen = RegistrantSeen()
        self._services = services
        self._refusal_told = False

    def grant(self, address: Address, refresh_s: int, now: float) -> None:
        """Take where the peer is now, and for how long."""
        self._refusal_told = False
        self._set(address, now + refresh_s + GRACE_S)

    def release(self) -> None:
        """Forget where the peer is."""
        self._set(None, None)

    def refuse(self) -> None:
        """Count a proof of another secret."""
        self.seen = replace(self.seen, refused=self.seen.refused + 1)
        if not self._refusal_told:
            self._refusal_told = True
            self._services.emit(RegistrantRefused(self.registrant.peer))

    def next_deadline(self) -> float | None:
        """Return when `handle_timeout` wants to be called."""
        return self.seen.expires_at

    def handle_timeout(self, _now: float) -> None:
        """Forget a registration that was not renewed."""
        self.release()

    def _set(self, address: Address | None, expires_at: float | None) -> None:
        moved = address != self.seen.address
        self.seen = replace(self.seen, address=address, expires_at=expires_at)
        self._services.reschedule(self)
        if moved:
            self._services.emit(RegistrantMoved(self.registrant.peer, address))


class RegistrarExchange(ClearDialog):
    """One request of a peer, from REGAUTH on: its call token is proven, its secret is not."""

    def __init__(
        self,
        services: PeerServices,
        call_number: int,
        address: Address,
        binding: Binding | None,
        *,
        over: Callable[[], None],
        now: float,
    ) -> None:
        super().__init__(services, call_number, address, now + EXCHANGE_S)
        self.state = RegistrationState.CHALLENGED
        self._binding = binding
        self._challenge = services.issued.issue(services.entropy, now)
        self._over = over

    def challenge(self, request: FullFrame, username: bytes, now: float) -> None:
        """Take the request and ask for the proof, whether there is such a peer or not."""
        self._channel.start(now)
        self._channel.learn_peer(request, now)
        self._channel.sequence.accept()
        question = InformationElements.of(
            (ElementType.AUTHMETHODS, (AuthMethod.MD5, 2)),
            (ElementType.CHALLENGE, self._challenge),
            (ElementType.USERNAME, username),
        )
        self._send(IaxSubclass.REGAUTH, question, now)

    def _act(self, frame: FullFrame, now: float) -> None:
        if frame.subclass not in _REQUESTS or self.state is not RegistrationState.CHALLENGED:
            return
        elements = parse_elements_untrusted(frame.data)
        binding = self._binding_proven_by(elements.get(ElementType.MD5_RESULT) or b"")
        if binding is None:
            self._refuse(now)
        elif frame.subclass == IaxSubclass.REGREL:
            binding.release()
            self._acknowledge(binding, now)
        else:
            asked_s = elements.uint(ElementType.REFRESH, 2) or REFRESH_DEFAULT_S
            refresh_s = min(max(asked_s, REFRESH_MIN_S), REFRESH_MAX_S)
            binding.grant(self.address, refresh_s, now)
            self._acknowledge(
                binding,
                now,
                (ElementType.REFRESH, (refresh_s, 2)),
                (ElementType.APPARENT_ADDR, apparent_address(self.address)),
            )

    def _binding_proven_by(self, proof: bytes) -> Binding | None:
        """Return the peer that the request names, where it has proven its secret.

        For an unknown peer a secret that nobody has is tried, so that time does not tell.
        """
        binding = self._binding
        secret = binding.registrant.secret if binding else self._services.entropy(_NOBODYS_OCTETS)
        is_right = equal(proof.lower(), md5_result(self._challenge, secret))
        return binding if is_right else None

    def _acknowledge(
        self, binding: Binding, now: float, *elements: tuple[int, ElementValue]
    ) -> None:
        """Send REGACK; without DATETIME, as this engine knows no time of day."""
        self._advance(RegistrationInput.RECEIVE_PROOF)
        named = (ElementType.USERNAME, binding.registrant.username)
        self._send(IaxSubclass.REGACK, InformationElements.of(named, *elements), now)

    def _refuse(self, now: float) -> None:
        if self._binding is not None:
            self._binding.refuse()
        self._advance(RegistrationInput.RECEIVE_WRONG_PROOF)
        cause = (Cause.FACILITY_REJECTED, 1)
        refusal = InformationElements.of(
            (ElementType.CAUSE, _REFUSAL), (ElementType.CAUSECODE, cause)
        )
        self._send(IaxSubclass.REGREJ, refusal, now)

    def _on_acknowledged(self, now: float) -> None:
        if (self.state, RegistrationInput.RECEIVE_FINAL_ACK) in REGISTRAR_TRANSITIONS:
            self._end(RegistrationInput.RECEIVE_FINAL_ACK, now)

    def _give_up(self, now: float) -> None:
        self._end(RegistrationInput.GIVE_UP, now)

    def _end(self, event: RegistrationInput, now: float) -> None:
        self._advance(event)
        self.close(now)
        self._over()

    def _advance(self, event: RegistrationInput) -> None:
        """Move the state; the one place that assigns it."""
        self.state = REGISTRAR_TRANSITIONS[self.state, event]


class Registrar:
    """All peers that may register, and the requests that wait for their proof.

    Attributes:
        bindings: Where each is, by username.
    """

    def __init__(self, services: PeerServices, registrants: Iterable[Registrant]) -> None:
        self.bindings = {each.username: Binding(services, each) for each in registrants}
        self._services = services
        self._exchanges: dict[_Request, RegistrarExchange] = {}

    def receive(
        self, frame: FullFrame, elements: InformationElements, address: Address, now: float
    ) -> str | None:
        """Take a request whose call token is proven; returns why it is dropped, if it is."""
        token = elements.get(ElementType.CALLTOKEN) or b""
        request = _Request(address, frame.source_call_number, token, source_of(address))
        if request in self._exchanges:
            return None  # sent again, and so is the challenge, by its own timer
        from_source = sum(waiting.source == request.source for waiting in self._exchanges)
        if len(self._exchanges) >= EXCHANGES_MAX or from_source >= EXCHANGES_PER_SOURCE_MAX:
            return "too many registrations at a time"
        username = elements.get(ElementType.USERNAME) or b""
        try:
            exchange = self._open(request, username, now)
        except LocalProtocolError:
            return "too many calls"
        self._exchanges[request] = exchange
        exchange.challenge(frame, username, now)
        return None

    def _forget(self, request: _Request) -> None:
        del self._exchanges[request]

    def _open(self, request: _Request, username: bytes, now: float) -> RegistrarExchange:
        return self._services.open(
            lambda call_number: RegistrarExchange(
                self._services,
                call_number,
                request.address,
                self.bindings.get(username.decode(errors="replace")),
                over=lambda: self._forget(request),
                now=now,
            ),
            now,
        )


def apparent_address(address: Address) -> bytes:
    """Return APPARENT_ADDR: the peer's address as Linux on little-endian machines keeps it.

    Asterisk reads it without a look at whether it is there.

    Source: RFC 5456 section 8.6.17; Asterisk, iax_ie_append_addr().
    """
    octets, port = host_of(address).packed, address[1].to_bytes(2, "big")
    if len(octets) == _IPV4_OCTETS:
        return _AF_INET.to_bytes(2, "little") + port + octets + bytes(8)
    return _AF_INET6.to_bytes(2, "little") + port + bytes(4) + octets + bytes(4)
