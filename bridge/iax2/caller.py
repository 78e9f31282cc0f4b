"""The caller's handshake: NEW, call token, challenge, encrypted answer, ACCEPT.

NEW travels in clear, so it tells nothing about the call: one fixed extension, no caller.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import ClassVar, Final

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from bridge.iax2.auth import Address, ChallengeMemory, derive_key, md5_result
from bridge.iax2.call import Call, Handler
from bridge.iax2.cipher import Opener, Sealer
from bridge.iax2.constants import (
    ANONYMOUS_PRESENTATION,
    CODEC_PREFERENCE_LETTERS,
    PROTOCOL_VERSION,
    AuthMethod,
    Cause,
    ElementType,
    Encryption,
    Format,
    FrameType,
    IaxSubclass,
)
from bridge.iax2.elements import WIDE_FORMATS_OCTETS, InformationElements, parse_elements_untrusted
from bridge.iax2.errors import FrameError, LocalProtocolError
from bridge.iax2.events import CallAccepted, EndReason
from bridge.iax2.frames import FullFrame
from bridge.iax2.rsa import rsa_result
from bridge.iax2.services import CallServices
from bridge.iax2.states import Input, State
from bridge.iax2.timers import (
    AUTHENTICATION_S,
    CHALLENGE_S,
    HANDSHAKE_RETRANSMISSION_MAX_S,
    SETUP_S,
    Timer,
)
from bridge.iax2.voice import FRAME_OCTETS

_CHALLENGE_MAX_OCTETS: Final = 64
_PROFILES_KEPT: Final = 64


@dataclass(frozen=True, slots=True)
class CallProfile:
    """What every call of a link has in common; nothing in it is about one call.

    Attributes:
        username: Ours at the peer, sent in clear.
        secret: Shared with the peer; never sent. It makes the key of every call.
        called_number: The single extension that takes all encrypted calls, sent in clear.
        formats: The link's media formats in order of preference, of one frame size.
        challenges: Memory of the peer's challenges, shared by all calls of the link.
        private_key: Signs the challenges, where the link proves itself by RSA rather than by MD5.
        setup_timeout_s: From NEW to ANSWER.
        rekey_s: How long our key is used before another one is sent within the call; None: as
            long as the call.
        first_timestamp_ms: Where the call's timestamps start; 0 but in tests of their wrap.
    """

    username: str
    secret: bytes = field(repr=False)
    called_number: str
    formats: tuple[Format, ...]
    challenges: ChallengeMemory
    private_key: RSAPrivateKey | None = field(default=None, repr=False)
    setup_timeout_s: float = SETUP_S
    rekey_s: float | None = None
    first_timestamp_ms: int = 0

    def __post_init__(self) -> None:
        """Refuse what no call could be placed with.

        Raises:
            LocalProtocolError: no secret, no formats or one of unknown frame size, a name of over
                255 octets.
        """
        if not self.secret:
            raise LocalProtocolError("a profile needs a secret: nothing else encrypts its calls")
        if not self.formats or not FRAME_OCTETS.keys() >= set(self.formats):
            raise LocalProtocolError("a profile needs media formats of known frame size")
        encode_new(self, b"")

    @property
    def method(self) -> AuthMethod:
        """The one method that the link proves itself by."""
        return AuthMethod.MD5 if self.private_key is None else AuthMethod.RSA


class CallerCall(Call):
    """A call that this side places."""

    def __init__(
        self, services: CallServices, call_number: int, address: Address, profile: CallProfile
    ) -> None:
        super().__init__(services, call_number, address)
        self._profile = profile
        self._rekey_s = profile.rekey_s
        self._token_taken = False

    def place(self, now: float) -> None:
        """Send the first NEW, which asks for a call token."""
        self._advance(Input.PLACE)
        self._timers.start(Timer.SETUP, now + self._profile.setup_timeout_s)
        self._send_new(b"", now)

    def _send_new(self, token: bytes, now: float) -> None:
        self._channel.start(now, self._profile.first_timestamp_ms)
        elements = encode_new(self._profile, token)
        self._send(FrameType.IAX, IaxSubclass.NEW, elements, now=now)

    def _on_calltoken(self, frame: FullFrame, now: float) -> None:
        """Send NEW again with the token, once, with sequence and timestamps from the start.

        A copy of the token's frame must not acknowledge the second NEW, whose oseqno is 0 too.
        """
        token = parse_elements_untrusted(frame.data).get(ElementType.CALLTOKEN)
        if not token or self._token_taken:
            raise FrameError("CALLTOKEN without a token, or a second one")
        self._token_taken = True
        self._settle(frame.iseqno, now)
        self._advance(Input.RECEIVE_CALLTOKEN)
        self._timers.start(Timer.CHALLENGE, now + CHALLENGE_S)
        self._send_new(token, now)

    def _on_authreq(self, frame: FullFrame, now: float) -> None:
        """Answer the challenge; that of a call given up gets an encrypted HANGUP in its place.

        Asterisk takes nothing in clear behind its challenge and holds the call for some 20 s. It
        takes an encrypted HANGUP without AUTHREP, which would have started its dial plan.

        Source: Asterisk chan_iax2, decrypt_frame(); not in RFC 5456.
        """
        given_up = self.state is State.GIVEN_UP
        ending = Input.RECEIVE_AUTHREQ if given_up else Input.HANG_UP
        elements = parse_elements_untrusted(frame.data)
        challenge = elements.get(ElementType.CHALLENGE)
        methods = elements.uint(ElementType.AUTHMETHODS, 2) or 0
        encryption = elements.uint(ElementType.ENCRYPTION, 2) or 0
        if not (methods & self._profile.method and encryption & Encryption.AES128):
            self._hang_up(EndReason.DOWNGRADE, now, Cause.FACILITY_REJECTED, ending)
        elif not challenge or len(challenge) > _CHALLENGE_MAX_OCTETS:
            self._hang_up(EndReason.PROTOCOL_ERROR, now, Cause.INVALID_IE_CONTENTS, ending)
        elif self._services.issued.holds(challenge, now):
            self._hang_up(EndReason.REFLECTED_CHALLENGE, now, Cause.CALL_REJECTED, ending)
        elif not self._profile.challenges.is_new(challenge):
            self._hang_up(EndReason.REPLAYED_CHALLENGE, now, Cause.CALL_REJECTED, ending)
        elif given_up:
            self._encrypt(challenge, now)
            self._hang_up(EndReason.LOCAL, now, Cause.NORMAL_CLEARING, ending)
        else:
            self._authenticate(challenge, now)

    def _encrypt(self, challenge: bytes, now: float) -> None:
        key = derive_key(challenge, self._profile.secret)
        self._channel.encrypt_with(Sealer(key, self._services.padding), Opener(key), now)

    def _authenticate(self, challenge: bytes, now: float) -> None:
        """Encrypt from here on; the answer to the challenge is the first encrypted frame."""
        self._encrypt(challenge, now)
        self._advance(Input.RECEIVE_AUTHREQ)
        self._timers.stop(Timer.CHALLENGE)
        self._timers.start(Timer.AUTHENTICATION, now + AUTHENTICATION_S)
        private_key = self._profile.private_key
        proof = (
            (ElementType.MD5_RESULT, md5_result(challenge, self._profile.secret))
            if private_key is None
            else (ElementType.RSA_RESULT, rsa_result(challenge, private_key))
        )
        elements = InformationElements.of(proof)
        self._send(FrameType.IAX, IaxSubclass.AUTHREP, elements.encode(), now=now)

    def _on_accept(self, frame: FullFrame, now: float) -> None:
        if not self.is_encrypted:
            self._hang_up(EndReason.DOWNGRADE, now, Cause.FACILITY_REJECTED)
            return
        elements = parse_elements_untrusted(frame.data)
        accepted = elements.formats(ElementType.FORMAT2, ElementType.FORMAT)
        if accepted not in self._profile.formats:
            self._hang_up(EndReason.PROTOCOL_ERROR, now, Cause.BEARER_CAPABILITY_NOT_AVAILABLE)
            return
        self._advance(Input.RECEIVE_ACCEPT)
        self._timers.stop(Timer.AUTHENTICATION)
        self._start_voice(Format(accepted), now)
        self._services.emit(CallAccepted(self, Format(accepted)))

    def _expire(self, timer: Timer, now: float) -> None:
        match timer:
            case Timer.AUTHENTICATION:
                self._hang_up(self._why_unproven(), now, Cause.NO_USER_RESPONSE)
            case Timer.CHALLENGE:
                self._miss_challenge(now)
            case _:
                super()._expire(timer, now)

    def _miss_challenge(self, now: float) -> None:
        """End a call that waits for nothing of ours: only another one brings another challenge.

        Asterisk acknowledges NEW in clear before its AUTHREQ, so no repeated NEW can ask for that.
        """
        if self._channel.sequence.outstanding:
            self._timers.start(Timer.CHALLENGE, now + HANDSHAKE_RETRANSMISSION_MAX_S)
        else:
            self._end(Input.GIVE_UP, EndReason.LOST_CHALLENGE, now)

    def _why_unproven(self) -> EndReason:
        """Tell from what came instead of ACCEPT why it did not come."""
        seen = self.statistics
        if seen.accepted_in_clear:
            return EndReason.DOWNGRADE
        if seen.dropped_implausible or seen.repeated_challenges:
            return EndReason.SECRETS_DIFFER
        return EndReason.NO_RESPONSE

    HANDLERS: ClassVar[Mapping[Input, Handler]] = {
        **Call.HANDLERS,
        Input.RECEIVE_CALLTOKEN: _on_calltoken,
        Input.RECEIVE_AUTHREQ: _on_authreq,
        Input.RECEIVE_ACCEPT: _on_accept,
    }


def encode_new(profile: CallProfile, token: bytes) -> bytes:
    """Return the elements of NEW: the least that Asterisk accepts, and equal for each call.

    Left out on purpose, since NEW is in clear: calling number, ANI, name, context, language, DNID,
    RDNIS, date and time, variables.

    Source: RFC 5456 section 6.2.2; the order is Asterisk's.
    """
    same = _encode_same(profile.username, profile.called_number, profile.formats)
    return same + InformationElements.of((ElementType.CALLTOKEN, token)).encode()


@lru_cache(maxsize=_PROFILES_KEPT)
def _encode_same(username: str, called_number: str, formats: tuple[Format, ...]) -> bytes:
    """Return all but the token: what is the same in each NEW of a link."""
    preferences = "".join(CODEC_PREFERENCE_LETTERS[choice] for choice in formats)
    capability = sum(formats)
    return InformationElements.of(
        (ElementType.VERSION, (PROTOCOL_VERSION, 2)),
        (ElementType.CALLED_NUMBER, called_number),
        (ElementType.CODEC_PREFS, preferences),
        (ElementType.CALLINGPRES, (ANONYMOUS_PRESENTATION, 1)),
        (ElementType.CALLINGTON, (0, 1)),
        (ElementType.CALLINGTNS, (0, 2)),
        (ElementType.USERNAME, username),
        (ElementType.ENCRYPTION, (Encryption.AES128, 2)),
        (ElementType.FORMAT, (formats[0], 4)),
        (ElementType.FORMAT2, (formats[0], WIDE_FORMATS_OCTETS)),
        (ElementType.CAPABILITY, (capability, 4)),
        (ElementType.CAPABILITY2, (capability, WIDE_FORMATS_OCTETS)),
    ).encode()
