"""Calls of two endpoints that talk: each voice frame tells whose it is and of what time.

So whatever a listener is told can be held against what the talker said: garbage shows, and so does
a timestamp that was unwrapped wrongly.
"""

from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from bridge.iax2 import (
    Address,
    Call,
    CallAnswered,
    CalleeCall,
    CallEnded,
    CallProfile,
    ChallengeMemory,
    DigitReceived,
    Endpoint,
    EndReason,
    Event,
    Format,
    IncomingCall,
    LocalProtocolError,
    User,
    VoiceReceived,
)
from bridge.iax2.clock import TIMESTAMP_MODULUS
from bridge.iax2.rotation import rotate
from bridge.iax2.states import TRANSITIONS, Input
from bridge.iax2.timers import (
    LAGRQ_INTERVAL_S,
    LINGER_S,
    RETRANSMISSION_FIRST_S,
    RETRANSMISSION_MAX_S,
    RETRANSMISSIONS_MAX,
    SETUP_S,
)
from tests.simulation.network import Simulation, Weather

CALLER: Final[Address] = ("192.0.2.1", 4569)
CALLEE: Final[Address] = ("192.0.2.2", 4569)
SECRET: Final = b"a secret of those who talk"
FRAME_MS: Final = 20
SIGNAL_EVERY_S: Final = 0.2
DIGITS: Final = "0123456789"
SETTLED_S: Final = 2 * LINGER_S + 100
"""After the last call's end all is forgotten."""


@dataclass(slots=True)
class Leg:
    """One side of a conversation.

    Attributes:
        said: How many voice frames it sent before anybody hung up.
        heard: The timestamps of the other's frames that it heard.
        garbage: What it heard and nobody said.
    """

    address: Address
    call: Call
    heard: set[int] = field(default_factory=set, repr=False)
    garbage: list[bytes] = field(default_factory=list, repr=False)
    said: int = 0
    digits_sent: str = ""
    digits: str = ""
    ended: list[EndReason] = field(default_factory=list)
    ended_at: float = 0.0
    last_heard_at: float = 0.0


@dataclass(slots=True, eq=False)
class Conversation:
    """Both legs of a call; `far` is None until the callee is told of it."""

    near: Leg
    placed_at: float
    far: Leg | None = None
    answered_at: float | None = None
    hung_up_at: float | None = None

    @property
    def legs(self) -> list[Leg]:
        """Those that there are."""
        return [leg for leg in (self.near, self.far) if leg is not None]

    def other(self, leg: Leg) -> Leg:
        """Return whom a leg talks to."""
        assert self.far is not None
        return self.far if leg is self.near else self.near


class TalkingCalls:
    """A caller and a callee that talk in every call until it ends.

    Args:
        simulation: Its seed decides everything.
        talk_s: The caller hangs up so long after the answer.
        voice_every_ms: 20, or more where a call is long.
        fast_ppm: How fast the clocks of caller and callee are.
        signals: Whether both sides send a digit each 200 ms.
    """

    def __init__(
        self,
        simulation: Simulation,
        *,
        talk_s: float,
        voice_every_ms: int = FRAME_MS,
        fast_ppm: tuple[float, float] = (0.0, 0.0),
        signals: bool = False,
    ) -> None:
        self.simulation = simulation
        self.talk_s = talk_s
        self.conversations: list[Conversation] = []
        self.strays = 0
        self._voice_every_ms = voice_every_ms
        self._signals = signals
        self._fast_ppm = dict(zip((CALLER, CALLEE), fast_ppm, strict=True))
        self._legs: dict[Call, tuple[Conversation, Leg]] = {}
        self._profile = CallProfile(
            "site", SECRET, "enc", (Format.ULAW,), ChallengeMemory(simulation.entropy)
        )
        self.start(CALLER)
        self.start(CALLEE)

    def start(self, address: Address) -> None:
        """Start, or start anew, the endpoint at an address: it knows nothing of earlier calls."""
        users = [User("site", (SECRET,))] if address == CALLEE else []
        endpoint = Endpoint(users, entropy=self.simulation.entropy)
        ppm = self._fast_ppm[address]
        self.simulation.add(address, endpoint, self._handle, fast_ppm=ppm)

    def place(self) -> None:
        """Place a call now."""
        now = self.simulation.time_of(CALLER)
        call = self.simulation.endpoints[CALLER].place_call(self._profile, CALLEE, now)
        conversation = Conversation(Leg(CALLER, call), self.simulation.now)
        self.conversations.append(conversation)
        self._legs[call] = conversation, conversation.near

    def place_each(self, seconds: float, calls: int) -> None:
        """Place so many calls, one each so many seconds."""
        for number in range(calls):
            self.simulation.at(self.simulation.now + number * seconds, self.place)

    def hang_up(self, conversation: Conversation, *addresses: Address) -> None:
        """Let one side, or both at once, hang up."""
        if conversation.hung_up_at is None:
            conversation.hung_up_at = self.simulation.now
        for leg in conversation.legs:
            if leg.address in addresses and not self._is_dead(leg):
                leg.call.hang_up(self.simulation.time_of(leg.address))

    def rotate(self, leg: Leg) -> None:
        """Send RTKEY with a new key, and use it at once, as a peer that rotates does."""
        now = self.simulation.time_of(leg.address)
        if leg.ended or leg.call.voice is None:
            return
        rotate(leg.call._channel, leg.call.voice, leg.call._services, now)

    def _handle(self, event: Event, now: float) -> None:
        if isinstance(event, IncomingCall):
            self._take(event, now)
            return
        if event.call not in self._legs:
            return  # a proof that never came: nobody was told of that call
        conversation, leg = self._legs[event.call]
        match event:
            case CallAnswered() if conversation.answered_at is None:
                self._answered(conversation)
            case VoiceReceived(payload=payload, timestamp_ms=timestamp_ms):
                self._hear(conversation, leg, payload, timestamp_ms)
            case DigitReceived(digit=digit):
                leg.digits += digit
            case CallEnded(reason=reason):
                leg.ended.append(reason)
                leg.ended_at = self.simulation.now

    def _take(self, event: IncomingCall, now: float) -> None:
        call = event.call
        assert isinstance(call, CalleeCall)
        found = [
            each
            for each in self.conversations
            if each.near.call.call_number == call.peer_call_number and each.far is None
        ]
        if not found:
            self.strays += 1  # the caller of it is no more
            with suppress(LocalProtocolError):  # nor may the call be
                call.reject(now)
            return
        conversation = found[-1]
        conversation.far = Leg(CALLEE, call)
        self._legs[call] = conversation, conversation.far
        # Its HANGUP may have waited behind the proof: then both are taken in one go.
        with suppress(LocalProtocolError):
            call.accept(Format.ULAW, now)
            call.answer(now)

    def _answered(self, conversation: Conversation) -> None:
        conversation.answered_at = self.simulation.now
        ends_at = self.simulation.now + self.talk_s
        self.simulation.at(ends_at, lambda: self.hang_up(conversation, CALLER))
        for leg in conversation.legs:
            self._talk_on(leg, self.simulation.time_of(leg.address), None)
            if self._signals:
                self._signal_on(leg, 0)

    def _talk_on(self, leg: Leg, local: float, timestamp_ms: int | None) -> None:
        """Say one frame and come back for the next, on the leg's own clock."""
        voice = leg.call.voice
        if not self._may_speak(leg) or voice is None:
            return
        if timestamp_ms is None:
            timestamp_ms = voice.elapsed_ms(local) // FRAME_MS * FRAME_MS
        leg.said += self._legs[leg.call][0].hung_up_at is None
        leg.call.send_voice(self._frame(leg, timestamp_ms), timestamp_ms, local)
        every_ms = self._voice_every_ms
        then, following = local + every_ms / 1000, (timestamp_ms + every_ms) % TIMESTAMP_MODULUS
        at = self.simulation.when(leg.address, then)
        self.simulation.at(at, lambda: self._talk_on(leg, then, following))

    def _signal_on(self, leg: Leg, number: int) -> None:
        if not self._may_speak(leg):
            return
        digit = DIGITS[number % len(DIGITS)]
        leg.digits_sent += digit
        leg.call.send_digit(digit, self.simulation.time_of(leg.address))
        at = self.simulation.now + SIGNAL_EVERY_S
        self.simulation.at(at, lambda: self._signal_on(leg, number + 1))

    def _may_speak(self, leg: Leg) -> bool:
        """Tell whether a leg is up, in an endpoint that is still the one of its address."""
        return (leg.call.state, Input.SEND_SIGNAL) in TRANSITIONS and not self._is_dead(leg)

    def _is_dead(self, leg: Leg) -> bool:
        return leg.call._services is not self.simulation.endpoints[leg.address]

    def _hear(self, conversation: Conversation, leg: Leg, payload: bytes, timestamp: int) -> None:
        leg.last_heard_at = self.simulation.now
        if payload == self._frame(conversation.other(leg), timestamp):
            leg.heard.add(timestamp)
        else:
            leg.garbage.append(payload)

    def _frame(self, leg: Leg, timestamp_ms: int) -> bytes:
        """Return what a leg says at a time: 160 octets that nobody else says, nor it again."""
        return b"%5d%11d" % (leg.call.call_number, timestamp_ms) * 10


def longest_end_s(weather: Weather) -> float:
    """Return how long a call may outlive its peer: until its next LAGRQ is given up.

    IAX2.md, timers: the first retransmission after two round trips, doubled, four of them.
    """
    round_trip_s = 2 * (weather.delay_s + weather.jitter_s)
    interval_s = 2 * (round_trip_s + RETRANSMISSION_FIRST_S)
    waits = (
        min(interval_s * 2.0**number, RETRANSMISSION_MAX_S)
        for number in range(RETRANSMISSIONS_MAX + 1)
    )
    return LAGRQ_INTERVAL_S + sum(waits)


def check_ends(talking: TalkingCalls) -> Counter[str]:
    """See that all calls ended with a cause in time, and that nothing of them is left."""
    assert not any(leg.garbage for each in talking.conversations for leg in each.legs)
    limit_s = longest_end_s(talking.simulation.weather)
    reasons: Counter[str] = Counter()
    for conversation in talking.conversations:
        for leg in conversation.legs:
            if talking._is_dead(leg):
                continue
            assert len(leg.ended) == 1, leg
            reasons[leg.ended[0].name] += 1
            since = conversation.hung_up_at
            if since is None:
                since = conversation.placed_at + (
                    SETUP_S if conversation.answered_at is None else 0
                )
            assert leg.ended_at <= since + limit_s, leg
    check_nothing_is_left(talking.simulation)
    return reasons


def check_nothing_is_left(simulation: Simulation) -> None:
    """See that no endpoint holds a call, a number, a timer or a frame."""
    for address, endpoint in simulation.endpoints.items():
        assert endpoint.live_calls == 0
        assert endpoint.call_numbers_leaked == 0
        assert not endpoint._calls
        assert not endpoint._by_peer
        assert endpoint.next_timeout() is None
        assert not endpoint._deadlines
        endpoint._numbers.allocate(simulation.time_of(address) + 1000)
        assert endpoint.call_numbers_taken == 1
