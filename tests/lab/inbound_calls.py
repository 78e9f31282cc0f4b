"""Calls from a link to phones in virtual time: a peer's engine, the bridge's middle, and SIP legs.

Real are both endpoints and the simulated network, the switchboard, the call and its SIP legs; a
recording stands for the SIP stack below the legs and for the audio.
"""

import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final, cast

from bridge.bridging.inbound_call import InboundCall
from bridge.bridging.limits import CallGate, CallLimits
from bridge.bridging.link import Acceptance, Link
from bridge.bridging.phone_side import CallTimes
from bridge.bridging.reception import Reception
from bridge.bridging.services import CallServices
from bridge.bridging.switchboard import Switchboard
from bridge.bridging.tones import tones_of
from bridge.dialing.collector import CollectionLimits
from bridge.dialing.delivery import DeliveryPlan, Phone, PhoneRoute, Target
from bridge.dialing.envelope import Envelope
from bridge.dialing.plan import DialPlan, DialTemplate
from bridge.errors import BridgeError
from bridge.iax2 import (
    Address,
    Call,
    CallAnswered,
    CallEnded,
    CallProfile,
    Cause,
    ChallengeMemory,
    ControlReceived,
    DigitReceived,
    Endpoint,
    EndReason,
    Event,
    Format,
    User,
    VoiceReceived,
)
from bridge.media.call_media import CallMedia
from bridge.media.sources import Source, Tone
from bridge.media.tones import ToneKind
from bridge.sip.leg import MakeOffer, SipLeg
from bridge.sip.sdes import Srtp
from tests.lab.bridged_phone import CalledPhone, FakeMedia, Story
from tests.lab.staging import SwitchboardStage
from tests.lab.transfers import TransferDesk
from tests.simulation.network import Simulation, Weather

BRIDGE: Final[Address] = ("192.0.2.2", 4569)
PEER: Final[Address] = ("192.0.2.1", 4569)
PEER_NAME: Final = "hq"
SECRET: Final = b"a secret of the inbound tests"
EXTENSION: Final = "enc"
NUMBER: Final = "201"
DELAY_S: Final = 0.02
RING_S: Final = 30.0
LIMITS: Final = CollectionLimits(terminator="#", digits_max=16, inter_digit_s=5, total_s=15)
ENVELOPE: Final = Envelope(slots=26, slot_ms=60, start_ms=(200, 600), terminator="#")
FORMATS: Final = (Format.ULAW, Format.ALAW)


NO_LIMITS: Final = CallLimits()


class Caller:
    """The peer that calls: an engine of ours that is told what to do, and what it was told.

    Attributes:
        controls: CONTROL frames, with their times.
        answers: When CONTROL ANSWER came.
        digits: Those that came.
        ended: How its calls ended, and when.
    """

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation
        self.endpoint = Endpoint(entropy=simulation.entropy)
        self.call: Call | None = None
        self.controls: list[tuple[float, int]] = []
        self.answers: list[float] = []
        self.digits = ""
        self.voice: list[bytes] = []
        self.ended: list[tuple[float, EndReason, int | None]] = []

    def place(
        self,
        *,
        username: str = PEER_NAME,
        secret: bytes = SECRET,
        extension: str = EXTENSION,
        formats: tuple[Format, ...] = FORMATS,
    ) -> None:
        """Call the bridge."""
        memory = ChallengeMemory(self._simulation.entropy)
        profile = CallProfile(username, secret, extension, formats, memory)
        self.call = self.endpoint.place_call(profile, BRIDGE, self._simulation.now)

    def dial(self, digits: str, each_s: float = 0.06) -> None:
        """Send digits from now on."""
        for index, digit in enumerate(digits):
            when = self._simulation.now + index * each_s
            self._simulation.at(when, partial(self._send_digit, digit))

    def hang_up(self, cause: int = Cause.NORMAL_CLEARING) -> None:
        """End the call."""
        assert self.call is not None
        self.call.hang_up(self._simulation.now, cause)

    def told(self) -> list[int]:
        """The CONTROL subclasses that came, without their times."""
        return [subclass for _, subclass in self.controls]

    def _send_digit(self, digit: str) -> None:
        assert self.call is not None
        self.call.send_digit(digit, self._simulation.now)

    def handle(self, event: Event, now: float) -> None:
        """Take down what the engine tells."""
        match event:
            case CallAnswered():
                self.answers.append(now)
            case ControlReceived(subclass=subclass):
                self.controls.append((now, subclass))
            case DigitReceived(digit=digit):
                self.digits += digit
            case VoiceReceived(payload=payload):
                self.voice.append(payload)
            case CallEnded(reason=reason, cause=cause):
                self.ended.append((now, reason, cause))


class InboundStage(SwitchboardStage):
    """A bridge that takes calls from its one link, and everything around it."""

    def __init__(
        self,
        simulation: Simulation | None = None,
        *,
        link: Mapping[str, Any] | None = None,
        user: User | None = None,
        limits: CallLimits = NO_LIMITS,
        duration_s: float | None = None,
    ) -> None:
        self.simulation = simulation or Simulation(7, Weather(delay_s=DELAY_S))
        self.story = Story(lambda: self.now)
        self.caller = Caller(self.simulation)
        self.phones: list[CalledPhone] = []
        self.media: list[FakeMedia] = []
        self.ports_left = 1000
        self.desk = TransferDesk(lambda: self.now, self.story, self._find_call)
        self.is_overloaded = False
        self.contacts: Callable[[str], tuple[str, ...] | None] = self._contacts
        self.unreachable: set[str] = set()
        self.reached_from: dict[str, str] = {}
        self.drawn = 0.0
        self._times = CallTimes(60, 3600, duration_s)
        self.srtp = Srtp.OFF
        self._plan = DeliveryPlan((route(r"2\d\d"), route(r"3(\d+)", "desk-{1}")))
        profile = CallProfile("-", b"-", EXTENSION, FORMATS, ChallengeMemory(bytes))
        acceptance = Acceptance(PEER_NAME, LIMITS, RING_S)
        settings = {"acceptance": acceptance, "address": PEER, **(link or {})}
        self.link = Link("hq", profile, ENVELOPE, **settings)
        self.endpoint = Endpoint([user or User(PEER_NAME, (SECRET,))], self.simulation.entropy)
        services = self._services()
        self.reception = Reception(
            [self.link], self._open_media, services, lambda: self.is_overloaded
        )
        self.switchboard = Switchboard(
            plan=DialPlan((), {}),
            links={"hq": self.link},
            open_media=cast("Callable[[str], CallMedia]", None),
            services=services,
            reception=self.reception,
            gate=CallGate(limits),
        )
        self.open(BRIDGE, self.endpoint)
        self.simulation.add(PEER, self.caller.endpoint, self.caller.handle)

    @property
    def inbound(self) -> InboundCall:
        """The one call that lives."""
        (only,) = self.switchboard._live
        assert isinstance(only, InboundCall)
        return only

    @property
    def phone(self) -> CalledPhone:
        """The one phone that was called."""
        (only,) = self.phones
        return only

    def run(self, seconds: float) -> None:
        self.simulation.run(self.now + seconds)

    def answered(self, **how: Any) -> None:  # noqa: ANN401
        """A call that waits for its digits."""
        self.caller.place(**how)
        self.run(0.5)

    def dialed(self, number: str = NUMBER) -> None:
        """A call whose digits have come."""
        self.answered()
        self.caller.dial(f"{number}#")
        self.run(0.06 * len(number) + 2 * DELAY_S)

    def ringing(self) -> CalledPhone:
        """A call whose phone rings, which the caller's side was told."""
        self.dialed()
        self.phone.rings()
        self.run(1.2)
        return self.phone

    def talking(self) -> CalledPhone:
        """A call whose phone has answered, which the caller's side was told."""
        phone = self.ringing()
        phone.answers()
        self.run(0.6)
        return phone

    def assert_nothing_left(self) -> None:
        """Assert that calls which are over left nothing in any table, once all is acknowledged."""
        self.run(200.0)
        assert self.switchboard.live_calls == 0
        assert not self.switchboard._by_call
        assert not self.switchboard._deadlines
        assert all(media.closed for media in self.media)
        assert all(phone.leg.is_over for phone in self.phones)
        for endpoint in (self.endpoint, self.caller.endpoint):
            assert endpoint.live_calls == 0
            assert not endpoint._calls

    def _services(self) -> CallServices:
        return CallServices(
            clock=lambda: self.now,
            uniform=lambda _low, _high: self.drawn,
            place=cast("Any", None),
            tone=tones_of("us"),
            find_phone=self._find_phone,
            call_phone=self._call_phone,
            media_address=None,
            times=self._times,
            drain=self._drain,
            transfers=self.desk.services,
            hold_source=self._hold_source,
        )

    def _find_phone(self, number: str, _link: str) -> tuple[Target, ...] | None:
        uris = self.contacts(number)
        return None if uris is None else tuple(map(Phone, uris))

    def _contacts(self, number: str) -> tuple[str, ...] | None:
        phone = self._plan.resolve(number, "hq")
        return (phone.uri,) if isinstance(phone, Phone) else None

    def _call_phone(self, target: Target, inbound: InboundCall, offer: MakeOffer) -> SipLeg:
        assert isinstance(target, Phone)
        uri = target.uri
        if uri in self.unreachable:
            raise BridgeError("the SIP URI cannot be reached")
        phone = CalledPhone(uri, offer(self._host(uri), self.srtp), self.story)
        phone.leg.srtp = self.srtp
        phone.leg.begin(inbound)
        phone.leg.on_ringing = inbound.on_ringing
        self.phones.append(phone)
        return phone.leg

    def _host(self, uri: str) -> str:
        return self.reached_from.get(uri, "192.0.2.2")

    def _open_media(self) -> CallMedia:
        if not self.ports_left:
            raise BridgeError("all pairs of the RTP port range are in use")
        self.media.append(FakeMedia(self.story))
        return cast("CallMedia", self.media[-1])


def route(expression: str, user: str = "{0}") -> PhoneRoute:
    """A route to a phone behind one address."""
    pattern = re.compile(expression)
    return PhoneRoute(pattern, "hq", DialTemplate.parse(user, pattern), "192.0.2.10:5060")


def played(media: FakeMedia) -> Source | None:
    """What goes to the link in the place of the phone's audio."""
    source = getattr(media.pull, "__self__", None)
    return None if source is media.buffer else source


def is_tone(media: FakeMedia, kind: ToneKind, media_format: Format = Format.ULAW) -> bool:
    """Whether the caller hears this tone of the configured country."""
    source = played(media)
    return isinstance(source, Tone) and source._frames == Tone("us", kind, media_format)._frames


def reason(phone: CalledPhone) -> str | None:
    """What a phone was told of why its call ended (RFC 3326)."""
    return dict(phone.headers).get("Reason")


def end_of(stage: InboundStage) -> tuple[EndReason, int | None]:
    """How the caller's call ended, which it did once."""
    ((_, why, cause),) = stage.caller.ended
    return why, cause
