"""Our registration with a peer: that it knows where we are, and goes on knowing it.

REGREQ and REGAUTH prove a secret by the function that makes a call's key, and are never encrypted.
So the secret of a registration is none that any call uses.

Source: RFC 5456 section 6.1; Asterisk chan_iax2, iax2_do_register(), for call tokens and the
elements.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Final

from bridge.iax2.auth import Address, md5_result
from bridge.iax2.clear_dialog import ClearDialog
from bridge.iax2.constants import AuthMethod, Cause, ElementType, IaxSubclass
from bridge.iax2.elements import InformationElements, parse_elements_untrusted
from bridge.iax2.errors import FrameError, LocalProtocolError
from bridge.iax2.frames import FullFrame
from bridge.iax2.registration_states import (
    REGISTRANT_TRANSITIONS,
    RegistrationInput,
    RegistrationState,
)
from bridge.iax2.services import NOWHERE, PeerServices

REFRESH_S: Final = 60
REFRESH_MIN_S: Final = 10
REFRESH_MAX_S: Final = 3600
"""What a registrar's wish is limited to."""
REFRESH_SHARE: Final = 0.75
"""When a registration is renewed, as a share of its life: that leaves time for three tries."""
EXCHANGE_S: Final = 5.0
LOST_FIRST_S: Final = 2.0
LOST_MAX_S: Final = 60.0
REFUSED_FIRST_S: Final = 10.0
REFUSED_MAX_S: Final = 300.0
"""From a try that failed to the next; doubled with each."""

_CHALLENGE_MAX_OCTETS: Final = 64
_DOUBLINGS_MAX: Final = 8
_INPUTS: Final[Mapping[int, RegistrationInput]] = {
    IaxSubclass.CALLTOKEN: RegistrationInput.RECEIVE_CALLTOKEN,
    IaxSubclass.REGAUTH: RegistrationInput.RECEIVE_REGAUTH,
    IaxSubclass.REGACK: RegistrationInput.RECEIVE_REGACK,
    IaxSubclass.REGREJ: RegistrationInput.RECEIVE_REGREJ,
    IaxSubclass.REJECT: RegistrationInput.RECEIVE_REGREJ,
    IaxSubclass.INVAL: RegistrationInput.GIVE_UP,
}


class Registered(Enum):
    """What is known of a registration."""

    NOT_YET = "not yet registered"
    REGISTERED = "registered"
    REFUSED = "refused"
    LOST = "the registrar does not answer"
    RELEASED = "released"


@dataclass(frozen=True, slots=True)
class RegistrationProfile:
    """How we register with a peer; `username` is sent in clear, the secret never."""

    username: str
    secret: bytes = field(repr=False)
    refresh_s: int = REFRESH_S


@dataclass(frozen=True, slots=True)
class RegistrationSeen:
    """How a registration stands, in seconds on the clock of `now`.

    Attributes:
        registered: What the registrar said last, or that it says nothing.
        since: Since when that is so; None before the first try has ended.
        expires_at: When the registrar forgets us; None where it does not know us.
        tries_failed: Those since the last success.
        cause: The CAUSECODE of the last refusal, where it had one.
    """

    registered: Registered = Registered.NOT_YET
    since: float | None = None
    expires_at: float | None = None
    tries_failed: int = 0
    cause: int | None = None


@dataclass(frozen=True, slots=True)
class RegistrationChanged:
    """A registration of ours began, was lost, was refused or is released."""

    peer: str
    seen: RegistrationSeen


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one exchange has ended; `refresh_s` is the registrar's, 0 where it gave none."""

    registered: Registered
    refresh_s: int = 0
    cause: int | None = None


class RegistrationExchange(ClearDialog):
    """One try: REGREQ or REGREL, call token, challenge, proof, REGACK."""

    def __init__(
        self,
        services: PeerServices,
        call_number: int,
        address: Address,
        profile: RegistrationProfile,
        *,
        releases: bool,
        over: Callable[[Outcome, float], None],
        now: float,
    ) -> None:
        super().__init__(services, call_number, address, now + EXCHANGE_S)
        self.state = RegistrationState.REQUESTED
        self._profile = profile
        self._subclass = IaxSubclass.REGREL if releases else IaxSubclass.REGREQ
        self._over = over
        self._token_taken = False

    def begin(self, now: float, token: bytes = b"") -> None:
        """Send the request, the first of its sequence."""
        self._channel.start(now)
        self._ask(now, (ElementType.CALLTOKEN, token))

    def _act(self, frame: FullFrame, now: float) -> None:
        received = _INPUTS.get(frame.subclass)
        if received is None or (self.state, received) not in REGISTRANT_TRANSITIONS:
            return
        elements = parse_elements_untrusted(frame.data)
        match received:
            case RegistrationInput.RECEIVE_CALLTOKEN:
                self._on_calltoken(elements, now)
            case RegistrationInput.RECEIVE_REGAUTH:
                self._on_regauth(frame, elements, now)
            case RegistrationInput.RECEIVE_REGACK:
                refresh_s = elements.uint(ElementType.REFRESH, 2) or 0
                self._end(received, Outcome(Registered.REGISTERED, refresh_s), now, frame)
            case RegistrationInput.RECEIVE_REGREJ:
                cause = elements.uint(ElementType.CAUSECODE, 1)
                self._end(received, Outcome(Registered.REFUSED, cause=cause), now, frame)
            case _:
                self._give_up(now)

    def _on_calltoken(self, elements: InformationElements, now: float) -> None:
        token = elements.get(ElementType.CALLTOKEN)
        if not token or self._token_taken:
            raise FrameError("CALLTOKEN without a token, or a second one")
        self._token_taken = True
        self._advance(RegistrationInput.RECEIVE_CALLTOKEN)
        self.begin(now, token)

    def _on_regauth(self, frame: FullFrame, elements: InformationElements, now: float) -> None:
        """Prove the secret by MD5, and in no other way; a challenge of ours is not answered."""
        challenge = elements.get(ElementType.CHALLENGE) or b""
        methods = elements.uint(ElementType.AUTHMETHODS, 2) or 0
        reflected = self._services.issued.holds(challenge, now)
        fits = 0 < len(challenge) <= _CHALLENGE_MAX_OCTETS and not reflected
        if not (methods & AuthMethod.MD5 and fits):
            outcome = Outcome(Registered.REFUSED, cause=Cause.FACILITY_NOT_IMPLEMENTED)
            self._end(RegistrationInput.RECEIVE_REGREJ, outcome, now, frame)
            return
        self._advance(RegistrationInput.RECEIVE_REGAUTH)
        proof = md5_result(challenge, self._profile.secret)
        self._ask(now, (ElementType.MD5_RESULT, proof))

    def _ask(self, now: float, last: tuple[int, bytes]) -> None:
        elements = InformationElements.of(
            (ElementType.USERNAME, self._profile.username),
            (ElementType.REFRESH, (self._profile.refresh_s, 2)),
            last,
        )
        self._send(self._subclass, elements, now)

    def _end(
        self,
        event: RegistrationInput,
        outcome: Outcome,
        now: float,
        frame: FullFrame | None = None,
    ) -> None:
        self._advance(event)
        if frame is not None:
            self._channel.acknowledge(frame)
        self.close(now)
        self._over(outcome, now)

    def _give_up(self, now: float) -> None:
        self._end(RegistrationInput.GIVE_UP, Outcome(Registered.LOST), now)

    def _advance(self, event: RegistrationInput) -> None:
        """Move the state; the one place that assigns it."""
        self.state = REGISTRANT_TRANSITIONS[self.state, event]


class Registration:
    """Keeps one registration up: renews it, and tries again, ever later, where that fails.

    Attributes:
        seen: How it stands.
    """

    def __init__(self, services: PeerServices, name: str, profile: RegistrationProfile) -> None:
        self.seen = RegistrationSeen()
        self.filed: list[float] = []
        self._services = services
        self._name = name
        self._profile = profile
        self._address = NOWHERE
        self._exchange: RegistrationExchange | None = None
        self._next_at: float | None = None
        self._releasing = False

    @property
    def is_busy(self) -> bool:
        """Whether an exchange of frames goes on."""
        return self._exchange is not None

    def move_to(self, address: Address | None, now: float) -> None:
        """Register at another address from now on, or nowhere; the old one will forget us."""
        if (address or NOWHERE) == self._address or self._releasing:
            return
        self._address = address or NOWHERE
        self._leave(now)
        self.seen = RegistrationSeen()
        if address is not None:
            self._try(now)
        self._services.reschedule(self)

    def release(self, now: float) -> None:
        """Tell a registrar that knows us to forget us, once, and register no more."""
        known = self.seen.expires_at is not None
        self._leave(now)
        self._releasing = True
        if known:
            self._try(now)
        self._services.reschedule(self)

    def next_deadline(self) -> float | None:
        """Return when `handle_timeout` wants to be called."""
        deadlines = (self._next_at, self.seen.expires_at)
        return min((deadline for deadline in deadlines if deadline is not None), default=None)

    def handle_timeout(self, now: float) -> None:
        """Notice that the registration has expired; renew it, or try again."""
        expires_at, next_at = self.seen.expires_at, self._next_at
        if expires_at is not None and expires_at <= now:
            self._set(Registered.LOST, now, tries_failed=self.seen.tries_failed)
        if next_at is not None and next_at <= now:
            self._try(now)
        self._services.reschedule(self)

    def _try(self, now: float) -> None:
        self._next_at = None
        try:
            self._exchange = self._services.open(
                lambda call_number: RegistrationExchange(
                    self._services,
                    call_number,
                    self._address,
                    self._profile,
                    releases=self._releasing,
                    over=self._on_over,
                    now=now,
                ),
                now,
            )
        except LocalProtocolError:
            self._on_over(Outcome(Registered.LOST), now)
        else:
            self._exchange.begin(now)

    def _on_over(self, outcome: Outcome, now: float) -> None:
        self._exchange = None
        if self._releasing:
            granted = outcome.registered is Registered.REGISTERED
            self._set(Registered.RELEASED if granted else outcome.registered, now)
        elif outcome.registered is Registered.REGISTERED:
            self._on_granted(outcome.refresh_s or self._profile.refresh_s, now)
        else:
            self._on_failed(outcome, now)
        self._services.reschedule(self)

    def _on_granted(self, refresh_s: int, now: float) -> None:
        refresh_s = min(max(refresh_s, REFRESH_MIN_S), REFRESH_MAX_S)
        self._next_at = now + refresh_s * REFRESH_SHARE
        self._set(Registered.REGISTERED, now, expires_at=now + refresh_s)

    def _on_failed(self, outcome: Outcome, now: float) -> None:
        """Try again later; a registrar that falls silent knows us until it forgets us."""
        failed = self.seen.tries_failed + 1
        refused = outcome.registered is Registered.REFUSED
        first_s, max_s = (REFUSED_FIRST_S, REFUSED_MAX_S) if refused else (LOST_FIRST_S, LOST_MAX_S)
        self._next_at = now + min(first_s * 2.0 ** min(failed - 1, _DOUBLINGS_MAX), max_s)
        if refused or self.seen.expires_at is None:
            self._set(outcome.registered, now, tries_failed=failed, cause=outcome.cause)
        else:
            self.seen = replace(self.seen, tries_failed=failed)

    def _set(
        self,
        registered: Registered,
        now: float,
        *,
        expires_at: float | None = None,
        tries_failed: int = 0,
        cause: int | None = None,
    ) -> None:
        """Take what is known now; tell it where it is another than before."""
        changed = registered is not self.seen.registered
        since = now if changed else self.seen.since
        self.seen = RegistrationSeen(registered, since, expires_at, tries_failed, cause)
        if changed:
            self._services.emit(RegistrationChanged(self._name, self.seen))

    def _leave(self, now: float) -> None:
        self._next_at = None
        if self._exchange is not None:
            self._exchange.close(now)
            self._exchange = None
