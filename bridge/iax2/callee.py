"""The callee's handshake: challenge, proof by decryption, and the application's decision."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network
from typing import ClassVar, Final, NamedTuple

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from bridge.iax2.admission import host_of
from bridge.iax2.auth import Address, derive_key, equal, md5_result
from bridge.iax2.call import Call, Handler
from bridge.iax2.cipher import Opener, Sealer
from bridge.iax2.constants import (
    CODEC_PREFERENCE_LETTERS,
    AuthMethod,
    Cause,
    ControlSubclass,
    ElementType,
    Encryption,
    Format,
    FrameType,
    IaxSubclass,
)
from bridge.iax2.elements import WIDE_FORMATS_OCTETS, InformationElements, parse_elements_untrusted
from bridge.iax2.errors import FrameError, LocalProtocolError
from bridge.iax2.events import EndReason, IncomingCall
from bridge.iax2.frames import FullFrame
from bridge.iax2.keys import frames_untrusted
from bridge.iax2.rsa import is_signed
from bridge.iax2.services import CallServices
from bridge.iax2.states import Input, State
from bridge.iax2.timers import AUTHENTICATION_S, PING_INTERVAL_S, SETUP_S, Timer
from bridge.iax2.voice import FRAME_OCTETS

PROOFS_MAX: Final = 32
"""Frames of a call that are tried as its proof: a caller may come again, and guess no faster."""

_NOBODYS_OCTETS: Final = 32
_UNPROVEN: Final = frozenset(
    {IaxSubclass.ACK, IaxSubclass.HANGUP, IaxSubclass.INVAL, IaxSubclass.REJECT}
)
"""What a caller may say in clear instead of its proof: that it heard, or that it gave up."""
_FORMAT_OF_LETTER = {letter: choice for choice, letter in CODEC_PREFERENCE_LETTERS.items()}


@dataclass(frozen=True, slots=True)
class User:
    """A peer that may call: its name, in clear on the wire, and the secrets it may use.

    Attributes:
        username: In clear on the wire.
        secrets: One of them makes the key of a call, and shows that the peer knows it.
        rekey_s: How long our key is used before another one is sent within the call.
        public_key: Checks the peer's signature, where it proves itself by RSA as well.
        networks: Where its calls may come from; empty: from everywhere.
    """

    username: str
    secrets: tuple[bytes, ...] = field(repr=False)
    rekey_s: float | None = None
    public_key: RSAPublicKey | None = field(default=None, repr=False)
    networks: tuple[IPv4Network | IPv6Network, ...] = ()

    def __post_init__(self) -> None:
        """Refuse a user whose calls anybody could decrypt.

        Raises:
            LocalProtocolError: an empty secret.
        """
        if not all(self.secrets):
            raise LocalProtocolError("an empty secret encrypts nothing")

    @property
    def method(self) -> AuthMethod:
        """The one method that it is asked to prove itself by."""
        return AuthMethod.MD5 if self.public_key is None else AuthMethod.RSA

    def may_call_from(self, address: Address) -> bool:
        """Tell whether the address is in one of the networks."""
        if not self.networks:
            return True
        host = host_of(address)
        return any(host in network for network in self.networks)


class Treatment(NamedTuple):
    """What a caller gets that must not tell whether it is known.

    Attributes:
        method: The one that it is asked for.
        secrets_tried: The most that any user has: so many are tried for each and for nobody.
    """

    method: AuthMethod
    secrets_tried: int


class NewIdentity(NamedTuple):
    """What tells a NEW that was sent again from one of another call.

    A caller that has started anew may draw a call number that it used before, but it gets
    another token.
    """

    address: Address
    source_call_number: int
    token: bytes


class CalleeCall(Call):
    """A call that a peer places. Its NEW carried a valid token; its secret is not yet proven."""

    def __init__(
        self,
        services: CallServices,
        call_number: int,
        address: Address,
        user: User | None,
        treatment: Treatment,
    ) -> None:
        super().__init__(services, call_number, address)
        self._user = user
        self._treatment = treatment
        self._rekey_s = user.rekey_s if user else None
        self._authenticated = False
        self._challenge = b""
        self._new = InformationElements()

    @property
    def identity(self) -> NewIdentity:
        """What the NEW that placed the call is known by."""
        token = self._new.get(ElementType.CALLTOKEN) or b""
        return NewIdentity(self.address, self.peer_call_number, token)

    @property
    def username(self) -> str | None:
        """The user that is called with; None where nobody of that name may call from there."""
        return self._user.username if self._user else None

    @property
    def is_authenticated(self) -> bool:
        """Whether the peer has proven its secret."""
        return self._authenticated

    def challenge(self, frame: FullFrame, elements: InformationElements, now: float) -> None:
        """Take a NEW and ask for the proof; an unknown user is asked in the same way."""
        self._new = elements
        self._advance(Input.RECEIVE_NEW)
        self._channel.start(now)
        self._channel.learn_peer(frame, now)
        self._channel.sequence.accept()
        self._timers.start(Timer.SETUP, now + SETUP_S)
        self._challenge = self._services.issued.issue(self._services.entropy, now)
        question = InformationElements.of(
            (ElementType.AUTHMETHODS, (self._treatment.method, 2)),
            (ElementType.CHALLENGE, self._challenge),
            (ElementType.ENCRYPTION, (Encryption.AES128, 2)),
            (ElementType.USERNAME, self._new.get(ElementType.USERNAME) or b""),
        )
        self._send(FrameType.IAX, IaxSubclass.AUTHREQ, question.encode(), now=now)

    def accept(self, media_format: Format, now: float) -> None:
        """Accept the call in one of the formats of its IncomingCall.

        Raises:
            LocalProtocolError: the call does not wait for a decision, the caller did not offer
                that format, or its frame size is unknown.
        """
        if media_format not in offered_formats(self._new) or media_format not in FRAME_OCTETS:
            raise LocalProtocolError("not a media format that the caller offers and we know")
        self._advance(Input.ACCEPT)
        # Before ACCEPT is sent: where too much is outstanding, that ends the call and its timers.
        self._start_voice(media_format, now)
        elements = InformationElements.of(
            (ElementType.FORMAT, (media_format, 4)),
            (ElementType.FORMAT2, (media_format, WIDE_FORMATS_OCTETS)),
        )
        self._send(FrameType.IAX, IaxSubclass.ACCEPT, elements.encode(), now=now)

    def answer(self, now: float) -> None:
        """Send CONTROL ANSWER; again where the far end's answer is to be told.

        Raises:
            LocalProtocolError: the call is not accepted.
        """
        self._advance(Input.ANSWER)
        self._send(FrameType.CONTROL, ControlSubclass.ANSWER, now=now)

    def reject(self, now: float, cause: int = Cause.CALL_REJECTED) -> None:
        """Refuse the call.

        Raises:
            LocalProtocolError: the call does not wait for a decision.
        """
        if self.state is not State.AUTHENTICATED:
            raise LocalProtocolError(f"REJECT in state {self.state.name}")
        self._hang_up(EndReason.LOCAL, now, cause, Input.REJECT)

    def _open(self, datagram: bytes, now: float) -> FullFrame | None:
        if self.state is not State.AUTHREQ_SENT:
            return super()._open(datagram, now)
        frame = self._open_proof(datagram, now) or self._channel.open_clear(datagram, _UNPROVEN)
        if frame is None:
            self._disbelieve(now)
        return frame

    def _disbelieve(self, now: float) -> None:
        """Count what proves nothing; the first such frame leaves five seconds for a proof."""
        if not self.statistics.dropped_implausible:
            self._timers.start(Timer.AUTHENTICATION, now + AUTHENTICATION_S)
        self.statistics.dropped_implausible += 1

    def _open_proof(self, datagram: bytes, now: float) -> FullFrame | None:
        """Return the AUTHREP where one of the user's secrets decrypts it and is proven by it.

        Or the HANGUP of a caller that has given up: it says no more than one in clear does.

        For an unknown user, and one of fewer secrets than another has, secrets that nobody has
        are tried, so that time does not tell.
        """
        if self.statistics.dropped_implausible >= PROOFS_MAX:
            return None
        secrets = list(self._user.secrets) if self._user else []
        while len(secrets) < self._treatment.secrets_tried:
            secrets.append(self._services.entropy(_NOBODYS_OCTETS))
        for secret in secrets:
            key = derive_key(self._challenge, secret)
            opener = Opener(key)
            for frame in frames_untrusted(opener, datagram):
                if self._channel.judges_plausible(frame, now) and self._proves(frame, secret):
                    self._channel.encrypt_with(Sealer(key, self._services.padding), opener, now)
                    self.statistics.received_encrypted += 1
                    return frame
        return None

    def _proves(self, frame: FullFrame, secret: bytes) -> bool:
        if frame.frame_type != FrameType.IAX or frame.subclass != IaxSubclass.AUTHREP:
            return frame.frame_type == FrameType.IAX and frame.subclass == IaxSubclass.HANGUP
        try:
            elements = parse_elements_untrusted(frame.data)
        except FrameError:
            return False
        if self._user is not None and self._user.public_key is not None:
            signature = elements.get(ElementType.RSA_RESULT) or b""
            return is_signed(signature, self._challenge, self._user.public_key)
        result = elements.get(ElementType.MD5_RESULT) or b""
        return equal(result, md5_result(self._challenge, secret))

    def _on_authrep(self, _frame: FullFrame, now: float) -> None:
        self._advance(Input.RECEIVE_AUTHREP)
        self._authenticated = True
        self._timers.stop_all()
        self._timers.start(Timer.PING, now + PING_INTERVAL_S)
        self._services.authenticated(self)
        self._services.emit(
            IncomingCall(
                self,
                self._new.text(ElementType.USERNAME) or "",
                self._new.text(ElementType.CALLED_NUMBER) or "",
                offered_formats(self._new),
            )
        )

    def _expire(self, timer: Timer, now: float) -> None:
        if timer is not Timer.AUTHENTICATION:
            super()._expire(timer, now)
            return
        why = EndReason.SECRETS_DIFFER if self._user else EndReason.UNKNOWN_USER
        self._hang_up(why, now, Cause.NO_USER_RESPONSE)

    HANDLERS: ClassVar[Mapping[Input, Handler]] = {
        **Call.HANDLERS,
        Input.RECEIVE_AUTHREP: _on_authrep,
    }


def offered_formats(new: InformationElements) -> tuple[Format, ...]:
    """Return the caller's formats in its order: CODEC_PREFS first, then FORMAT, CAPABILITY.

    Source: RFC 5456 section 6.2.2 (capability), Asterisk for CODEC_PREFS, FORMAT2, CAPABILITY2.
    """
    single = new.formats(ElementType.FORMAT2, ElementType.FORMAT)
    capability = new.formats(ElementType.CAPABILITY2, ElementType.CAPABILITY) or single or 0
    letters = new.text(ElementType.CODEC_PREFS) or ""
    preferred = [_FORMAT_OF_LETTER[letter] for letter in letters if letter in _FORMAT_OF_LETTER]
    first = [choice for choice in Format if choice == single]
    ordered = dict.fromkeys([*preferred, *first, *Format])
    return tuple(choice for choice in ordered if capability & choice)
