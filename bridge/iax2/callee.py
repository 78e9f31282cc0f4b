"""The callee's handshake: challenge, proof by decryption, and the application's decision."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Final

from bridge.iax2.auth import Address, derive_key, equal, md5_result, new_challenge
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
from bridge.iax2.elements import InformationElements, parse_elements_untrusted
from bridge.iax2.errors import FrameError, LocalProtocolError
from bridge.iax2.events import EndReason, IncomingCall
from bridge.iax2.frames import FullFrame
from bridge.iax2.keys import open_full_untrusted
from bridge.iax2.services import CallServices
from bridge.iax2.states import Input, State
from bridge.iax2.timers import SETUP_S, Timer
from bridge.iax2.voice import FRAME_OCTETS

_NOBODYS_OCTETS: Final = 16
_UNPROVEN: Final = frozenset(
    {IaxSubclass.ACK, IaxSubclass.HANGUP, IaxSubclass.INVAL, IaxSubclass.REJECT}
)
"""What a caller may say in clear instead of its proof: that it heard, or that it gave up."""
_FORMAT_OF_LETTER = {letter: choice for choice, letter in CODEC_PREFERENCE_LETTERS.items()}


@dataclass(frozen=True, slots=True)
class User:
    """A peer that may call: its name, in clear on the wire, and the secrets it may use."""

    username: str
    secrets: tuple[bytes, ...] = field(repr=False)


class CalleeCall(Call):
    """A call that a peer places. Its NEW carried a valid token; its secret is not yet proven."""

    def __init__(
        self, services: CallServices, call_number: int, address: Address, user: User | None
    ) -> None:
        super().__init__(services, call_number, address)
        self._user = user
        self._challenge = b""
        self._new = InformationElements()

    @property
    def is_authenticated(self) -> bool:
        """Whether the peer has proven its secret."""
        return self.is_encrypted

    def challenge(self, frame: FullFrame, elements: InformationElements, now: float) -> None:
        """Take a NEW and ask for the proof; an unknown user is asked in the same way."""
        self._new = elements
        self._advance(Input.RECEIVE_NEW)
        self._channel.start(now)
        self._channel.learn_peer(frame, now)
        self._channel.sequence.accept()
        self._services.learn_peer(self)
        self._timers.start(Timer.SETUP, now + SETUP_S)
        self._challenge = new_challenge(self._services.entropy)
        question = InformationElements.of(
            (ElementType.AUTHMETHODS, (AuthMethod.MD5, 2)),
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
        elements = InformationElements.of((ElementType.FORMAT, (media_format, 4)))
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
        self._hang_up(EndReason.LOCAL, now, cause, subclass=IaxSubclass.REJECT)

    def _open(self, datagram: bytes, now: float) -> FullFrame | None:
        if self.state is not State.AUTHREQ_SENT:
            return super()._open(datagram, now)
        frame = self._open_proof(datagram, now) or self._channel.open_clear(datagram, _UNPROVEN)
        if frame is None:
            self.statistics.dropped_implausible += 1
        return frame

    def _open_proof(self, datagram: bytes, now: float) -> FullFrame | None:
        """Return the AUTHREP where one of the user's secrets decrypts it and is proven by it.

        For an unknown user a secret that nobody has is tried, so that time does not tell.
        """
        secrets = self._user.secrets if self._user else (self._services.entropy(_NOBODYS_OCTETS),)
        for secret in secrets:
            key = derive_key(self._challenge, secret)
            opener = Opener(key)
            frame = open_full_untrusted(opener, datagram)
            if frame is None or not self._channel.judges_plausible(frame, now):
                continue
            if self._proves(frame, secret):
                self._channel.encrypt_with(Sealer(key, self._services.entropy), opener)
                self.statistics.received_encrypted += 1
                return frame
        return None

    def _proves(self, frame: FullFrame, secret: bytes) -> bool:
        if (frame.frame_type, frame.subclass) != (FrameType.IAX, IaxSubclass.AUTHREP):
            return False
        try:
            result = parse_elements_untrusted(frame.data).get(ElementType.MD5_RESULT)
        except FrameError:
            return False
        return equal(result or b"", md5_result(self._challenge, secret))

    def _on_authrep(self, _frame: FullFrame, _now: float) -> None:
        self._advance(Input.RECEIVE_AUTHREP)
        self._timers.stop(Timer.SETUP)
        self._services.emit(
            IncomingCall(
                self,
                self._new.text(ElementType.USERNAME) or "",
                self._new.text(ElementType.CALLED_NUMBER) or "",
                offered_formats(self._new),
            )
        )

    HANDLERS: ClassVar[Mapping[Input, Handler]] = {
        **Call.HANDLERS,
        Input.RECEIVE_AUTHREP: _on_authrep,
    }


def offered_formats(new: InformationElements) -> tuple[Format, ...]:
    """Return the caller's formats in its order: CODEC_PREFS first, then FORMAT, CAPABILITY.

    Source: RFC 5456 section 6.2.2 (capability), Asterisk for CODEC_PREFS.
    """
    capability = new.uint(ElementType.CAPABILITY, 4) or new.uint(ElementType.FORMAT, 4) or 0
    letters = new.text(ElementType.CODEC_PREFS) or ""
    preferred = [_FORMAT_OF_LETTER[letter] for letter in letters if letter in _FORMAT_OF_LETTER]
    first = [choice for choice in Format if choice == new.uint(ElementType.FORMAT, 4)]
    ordered = dict.fromkeys([*preferred, *first, *Format])
    return tuple(choice for choice in ordered if capability & choice)
