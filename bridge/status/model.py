"""The answer of `siax status`: plain values, the same for the service and for who asks it.

Its form for machines is documented in docs/cli.md; names and units are stable.
"""

from dataclasses import dataclass, field, fields
from enum import Enum
from typing import Final, Self

from pydantic import TypeAdapter, ValidationError

from bridge.errors import BridgeError
from bridge.iax2 import KeyOrigin, Reachability

FORMAT_VERSION: Final = 1


class StatusError(BridgeError):
    """The answer cannot be had, or is none."""


class Grade(Enum):
    """How well a link or a call is hidden, as far as it was seen."""

    GOOD = "good"
    WEAK = "weak"
    BAD = "bad"
    DOWN = "down"
    PENDING = "pending"
    UNSEEN = "unseen"


@dataclass(frozen=True, slots=True)
class Verdict:
    """A grade and its reason in words."""

    grade: Grade
    reason: str


@dataclass(frozen=True, slots=True)
class Counts:
    """Numbers that can be added up."""

    def __add__(self, other: Self) -> Self:
        """Return the sum, field by field."""
        names: tuple[str, ...] = self.__slots__
        return type(self)(*[getattr(self, name) + getattr(other, name) for name in names])


@dataclass(frozen=True, slots=True)
class Sent(Counts):
    """What left toward the peer.

    Attributes:
        full_frames: Encrypted ones, those sent again and those with voice included.
        voice_frames: Frames of 20 ms, all encrypted; nearly all of them mini frames.
        clear_frames: Full frames in clear: the set-up of a call, before its key is known.
        retransmitted: Full frames sent again.
    """

    full_frames: int = 0
    voice_frames: int = 0
    clear_frames: int = 0
    retransmitted: int = 0


@dataclass(frozen=True, slots=True)
class Dropped(Counts):
    """What came and was not believed, by reason.

    Attributes:
        implausible: Full frames that decrypt to nothing that makes sense here and now.
        implausible_voice: The same of mini frames.
        clear: Full frames in clear once all is encrypted.
        malformed: No frame, or one whose contents are none.
        wrong_size: Mini frames of another size than the codec's.
        out_of_place: Frames that the state of the call does not allow.
    """

    implausible: int = 0
    implausible_voice: int = 0
    clear: int = 0
    malformed: int = 0
    wrong_size: int = 0
    out_of_place: int = 0

    @property
    def total(self) -> int:
        """All of it."""
        return sum(getattr(self, each.name) for each in fields(self))

    @property
    def unreadable(self) -> int:
        """What decrypts to nothing that makes sense: a wrong key, or an octet that was changed."""
        return self.implausible + self.implausible_voice


@dataclass(frozen=True, slots=True)
class Received(Counts):
    """What came from the peer and was believed.

    Attributes:
        full_frames: Encrypted and plausible.
        voice_frames: Frames of 20 ms, encrypted and plausible.
        clear_frames: Full frames in clear, before the key was known.
        lost_voice_frames: Missing by their timestamps.
        dropped: What was not believed.
    """

    full_frames: int = 0
    voice_frames: int = 0
    clear_frames: int = 0
    lost_voice_frames: int = 0
    dropped: Dropped = Dropped()

    @property
    def loss_percent(self) -> float | None:
        """The share of the peer's voice that did not arrive; None where there was none."""
        whole = self.voice_frames + self.lost_voice_frames
        return 100 * self.lost_voice_frames / whole if whole else None


@dataclass(frozen=True, slots=True)
class Key:
    """The key of one direction.

    Attributes:
        origin: Whence it is: made from the peer's challenge and the secret, or rotated by a side.
        age_s: Since it is used.
    """

    origin: KeyOrigin
    age_s: float


@dataclass(frozen=True, slots=True)
class CallStatus:
    """One call on a link, from its first frame to its last.

    Attributes:
        call: Its id, as in the log.
        link: The link's name.
        direction: "to peer" where we placed it, else "from peer".
        state: Of the protocol, in words.
        age_s: Since its first frame.
        encrypted: Whether all frames are, both ways.
        cipher: In words, None before there is a key.
        sending_key, receiving_key: Of our frames and of the peer's, None before there is one.
        codec: Of its voice, None before it is agreed.
        sent, received: What was seen, each way.
        unreadable_last_minute: Frames dropped in the last minute as `Dropped.unreadable`.
        rtt_ms: Smoothed, None before it was measured.
        jitter_ms: Of the peer's voice as it arrives (RFC 3550); None before there is any.
        far_jitter_ms, far_loss_percent: Of our voice, as the peer last reported; None before.
        verdict: The grade and why.
    """

    call: int
    link: str
    direction: str
    state: str
    age_s: float
    encrypted: bool
    cipher: str | None
    sending_key: Key | None
    receiving_key: Key | None
    codec: str | None
    sent: Sent
    received: Received
    unreadable_last_minute: int
    rtt_ms: float | None
    jitter_ms: float | None
    far_jitter_ms: float | None
    far_loss_percent: float | None
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class OurRegistration:
    """How our registration with a link's peer stands.

    Attributes:
        state: In words.
        since_s: For how long that is so; None before the first try has ended.
        expires_in_s: Until the peer forgets us; None where it does not know us.
        tries_failed: Since the last success.
        cause: CAUSECODE of the last refusal, where it had one.
    """

    state: str
    since_s: float | None
    expires_in_s: float | None
    tries_failed: int
    cause: int | None


@dataclass(frozen=True, slots=True)
class PeerRegistration:
    """How the registration of a link's peer with us stands.

    Attributes:
        expires_in_s: Until it is forgotten; None where it has not registered.
        refused: Tries in its name that proved another secret, since the start.
    """

    expires_in_s: float | None
    refused: int


@dataclass(frozen=True, slots=True)
class LinkStatus:
    """One link: all its calls since the start together.

    Attributes:
        link: Its name.
        peer: Address and port, None while its name does not resolve or it has not registered.
        reachability: What the last POKE found, None where the link sends none.
        reachability_s: Since when, None while nothing is known.
        rtt_ms: Smoothed, of POKEs answered; kept while the peer is silent, None before the first.
        jitter_ms: The worst of its live calls, None without any.
        live_calls: On the link now, those being set up included.
        calls: Since the start, those included.
        sent, received: Of all of them.
        unreadable_last_minute: Frames dropped in the last minute as `Dropped.unreadable`.
        last_end: How the last call that is over ended, in words.
        verdict: The grade and why.
        our_registration: None where we do not register.
        peer_registration: None where the peer does not.
    """

    link: str
    peer: str | None
    reachability: Reachability | None
    reachability_s: float | None
    rtt_ms: float | None
    jitter_ms: float | None
    live_calls: int
    calls: int
    sent: Sent
    received: Received
    unreadable_last_minute: int
    last_end: str | None
    verdict: Verdict
    our_registration: OurRegistration | None = None
    peer_registration: PeerRegistration | None = None


@dataclass(frozen=True, slots=True)
class TrunkStatus:
    """One SIP trunk, whose calls are in clear.

    Attributes:
        trunk: Its name.
        server: Address and port, None while its name does not resolve.
        state: What it said last of our registration, or whether it answers, in words.
        is_up: Whether it is registered, or answers.
        since_s: For how long that is so; None before the first try has ended.
        expires_in_s: Until it forgets us; None where it does not know us.
        tries_failed: Since the last success.
        status: The SIP status of the last failure, None without one.
        live_calls: On it now.
        calls: Placed on it since the start.
    """

    trunk: str
    server: str | None
    state: str
    is_up: bool
    since_s: float | None
    expires_in_s: float | None
    tries_failed: int
    status: int | None
    live_calls: int
    calls: int


@dataclass(frozen=True, slots=True)
class Status:
    """The whole answer.

    Attributes:
        format: Raised when a field changes its meaning or goes.
        version, site: Of the service.
        uptime_s: Since the service was ready.
        links: In the order of the configuration.
        calls: Live ones, oldest first.
        outside_calls: Datagrams that belong to no call, dropped, by reason.
        phones: What became of phones' calls since the start: taken, and refused by reason.
        trunks: In the order of the configuration.
    """

    version: str
    site: str
    uptime_s: float
    links: tuple[LinkStatus, ...]
    calls: tuple[CallStatus, ...]
    outside_calls: dict[str, int] = field(default_factory=dict)
    phones: dict[str, int] = field(default_factory=dict)
    trunks: tuple[TrunkStatus, ...] = ()
    format: int = FORMAT_VERSION


_STATUS: Final = TypeAdapter(Status)


def encode_status(status: Status) -> bytes:
    """Return the answer as JSON on one line."""
    return _STATUS.dump_json(status)


def decode_status(document: bytes) -> Status:
    """Read an answer.

    Raises:
        StatusError: it is none, or one of another version of the service.
    """
    try:
        status = _STATUS.validate_json(document)
    except ValidationError:
        raise StatusError("the answer is none of this version of siax") from None
    if status.format != FORMAT_VERSION:
        raise StatusError(f"the service answers in format {status.format}, not {FORMAT_VERSION}")
    return status
