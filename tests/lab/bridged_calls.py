"""Bridged calls in virtual time: a phone's leg, the bridge's middle, two engines and a network.

Real are the SIP leg, the switchboard, both endpoints and the simulated network between them; a
recording stands for the SIP stack below the leg and for the audio. What happened, on both sides
and in order, is in `Stage.story`.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, Final, cast

from bridge.bridging.call import BridgedCall
from bridge.bridging.limits import CallGate, CallLimits
from bridge.bridging.link import Link
from bridge.bridging.phone_side import CallTimes
from bridge.bridging.reception import Reception
from bridge.bridging.services import CallServices
from bridge.bridging.switchboard import Switchboard
from bridge.bridging.tones import tones_of
from bridge.dialing.envelope import Envelope
from bridge.dialing.plan import DialPlan, DialTemplate, DigitLimits, Route
from bridge.errors import BridgeError
from bridge.iax2 import (
    Address,
    Call,
    CalleeCall,
    CallEnded,
    CallProfile,
    Cause,
    ChallengeMemory,
    ControlSubclass,
    DigitReceived,
    Endpoint,
    EndReason,
    Event,
    Format,
    IncomingCall,
    User,
    VoiceReceived,
)
from bridge.iax2.auth import derive_key
from bridge.iax2.cipher import Opener
from bridge.iax2.constants import FrameType
from bridge.iax2.frames import FullFrame
from bridge.iax2.keys import open_full_untrusted
from bridge.media.call_media import CallMedia
from bridge.sip.leg import LegState
from bridge.sip.sdes import Srtp
from bridge.sip.sdp import SdpError
from tests.lab.bridged_phone import CALLER, OFFER, FakeMedia, Phone, Story
from tests.lab.staging import SwitchboardStage
from tests.lab.transfers import TransferDesk
from tests.simulation.network import Simulation, Weather

NEAR: Final[Address] = ("192.0.2.1", 4569)
FAR: Final[Address] = ("192.0.2.2", 4569)
SECRET: Final = b"a secret of the bridging tests"
ENVELOPE: Final = Envelope(slots=26, slot_ms=60, start_ms=(200, 600), terminator="#")
START_DELAY_S: Final = 0.4
DELAY_S: Final = 0.02
NUMBER: Final = "5551234"
CNG: Final = "cng"
NO_LIMITS: Final = CallLimits()
_SIGNALS: Final = (FrameType.DTMF_END, FrameType.CNG, FrameType.CONTROL)


class Far:
    """The far end: decrypts what arrives, and does with a call what the test says.

    Attributes:
        behave: Called with each incoming call; by default it is accepted and answered.
        signals: Each digit, CNG or CONTROL frame that arrived, with its time, doubles left out.
        ended: How its calls ended.
    """

    def __init__(self, stage: "Stage", rekeys_s: float | None) -> None:
        self._stage = stage
        self.behave: Callable[[CalleeCall], None] = self.answer
        self.calls: list[CalleeCall] = []
        self.digits = ""
        self.signals: list[tuple[float, str]] = []
        self.ended: list[tuple[EndReason, int | None]] = []
        self.voice_frames = 0
        user = User("site", (SECRET,), rekey_s=rekeys_s)
        self.endpoint = _Tapped(self._tap, [user], stage.simulation.entropy)
        self._openers: dict[int, Opener] = {}
        self._seen: set[tuple[int, int]] = set()

    def accept(self, call: CalleeCall) -> None:
        call.accept(Format.ULAW, self._stage.now)

    def answer(self, call: CalleeCall) -> None:
        self.accept(call)
        call.answer(self._stage.now)

    def reject(self, cause: int) -> Callable[[CalleeCall], None]:
        return lambda call: call.reject(self._stage.now, cause)

    def hang_up(self, cause: int = Cause.NORMAL_CLEARING) -> None:
        self.calls[-1].hang_up(self._stage.now, cause)

    def control(self, subclass: ControlSubclass) -> None:
        self.calls[-1].send_control(subclass, self._stage.now)

    def handle(self, event: Event, _now: float) -> None:
        match event:
            case IncomingCall(call=CalleeCall() as call):
                self.calls.append(call)
                self._openers[call.call_number] = Opener(derive_key(call._challenge, SECRET))
                self.behave(call)
            case DigitReceived(digit=digit):
                self.digits += digit
            case VoiceReceived():
                self.voice_frames += 1
            case CallEnded(reason=reason, cause=cause):
                self.ended.append((reason, cause))
                self._stage.story.add("link ended")

    def _tap(self, data: bytes, now: float) -> None:
        if not data[0] & 0x80:
            return
        opener = self._openers.get(int.from_bytes(data[2:4], "big") & 0x7FFF)
        frame = open_full_untrusted(opener, data) if opener else None
        if frame is None or frame.frame_type not in _SIGNALS:
            return
        if (key := (frame.destination_call_number, frame.oseqno)) not in self._seen:
            self._seen.add(key)
            self.signals.append((now, _name(frame)))


class _Tapped(Endpoint):
    def __init__(
        self,
        tap: Callable[[bytes, float], None],
        users: Iterable[User],
        entropy: Callable[[int], bytes],
    ) -> None:
        super().__init__(users, entropy)
        self._tap = tap

    def receive_datagram(self, data: bytes, address: Address, now: float) -> None:
        self._tap(data, now)
        super().receive_datagram(data, address, now)


class Stage(SwitchboardStage):
    """Everything around bridged calls, and the time that all of it shares.

    Attributes:
        drawn: What a call gets where it draws at random.
    """

    def __init__(
        self,
        weather: Weather | None = None,
        *,
        limits: CallLimits = NO_LIMITS,
        duration_s: float | None = None,
        rekeys_s: float | None = None,
        **link: Any,  # noqa: ANN401
    ) -> None:
        self.simulation = Simulation(7, weather or Weather(delay_s=DELAY_S))
        self.story = Story(lambda: self.now)
        self.near = Endpoint(entropy=self.simulation.entropy)
        self.far = Far(self, rekeys_s)
        self.media: list[FakeMedia] = []
        self.ports_left = 1000
        self.desk = TransferDesk(lambda: self.now, self.story, self._find_call)
        self.drawn = START_DELAY_S
        self._times = CallTimes(60, 3600, duration_s)
        profile = CallProfile(
            "site",
            SECRET,
            "enc",
            (Format.ULAW, Format.ALAW),
            ChallengeMemory(self.simulation.entropy),
        )
        link = {"address": FAR, **link}
        self.link = Link("hq", profile, ENVELOPE, **link)
        self.links = {"hq": self.link}
        self.switchboard = Switchboard(
            plan=DialPlan((route(r"9(\d+)"), route(r"8(.*)")), {"hq": DigitLimits(25, "#")}),
            links=self.links,
            open_media=self._open_media,
            services=self._services(),
            reception=Reception((), cast("Any", None), cast("Any", None)),
            gate=CallGate(limits),
        )
        self.open(NEAR, self.near)
        self.simulation.add(FAR, self.far.endpoint, self.far.handle)

    def add_link(self, name: str) -> Link:
        """Let there be another link to the same far end."""
        self.links[name] = Link(name, self.link.profile, ENVELOPE, address=FAR)
        return self.links[name]

    def dial(
        self,
        called: str = f"9{NUMBER}",
        offer: str = OFFER,
        breaks_at: int | str | None = None,
        caller: str = CALLER,
        srtp: Srtp = Srtp.OFF,
        *,
        user: str = "",
        call_id: str = "",
    ) -> Phone:
        """Let a phone call, as the SIP agent would bring it."""
        phone = Phone(called, offer, self.story, caller, srtp, user=user, call_id=call_id)
        phone.breaks_at = breaks_at
        handler = self.switchboard.take(phone.leg)
        if handler is not None:
            try:
                phone.leg.begin(handler)
            except SdpError:
                phone.leg.end(488)
        return phone

    def run(self, seconds: float) -> None:
        self.simulation.run(self.now + seconds)

    def dialing(self) -> Phone:
        """A phone whose call is answered, with some of its digits dialed."""
        phone = self.dial()
        self.run(0.7)
        assert 0 < len(self.far.digits) < len(NUMBER)
        return phone

    def talking(self, call_id: str = "") -> Phone:
        """A phone in a call that is up on both sides."""
        phone = self.dial(call_id=call_id)
        self.run(3.0)
        assert phone.leg.state is LegState.UP
        phone.leg.established()
        return phone

    @property
    def bridged(self) -> BridgedCall:
        """The one call that lives."""
        (only,) = self.switchboard._live
        assert isinstance(only, BridgedCall)
        return only

    def assert_nothing_left(self) -> None:
        """Assert that calls which are over left nothing in any table, once all is acknowledged."""
        self.assert_nothing_left_near()
        assert self.far.endpoint.live_calls == 0
        assert not self.far.endpoint._calls

    def assert_nothing_left_near(self) -> None:
        """Assert it of the bridge alone."""
        self.run(200.0)
        assert self.switchboard.live_calls == 0
        assert not self.switchboard._by_call
        assert not self.switchboard._deadlines
        assert all(media.closed for media in self.media)
        assert self.near.live_calls == 0
        assert not self.near._calls

    def _services(self) -> CallServices:
        return CallServices(
            clock=lambda: self.now,
            uniform=lambda _low, _high: self.drawn,
            place=self._place,
            find_phone=cast("Any", None),
            call_phone=cast("Any", None),
            tone=tones_of("us"),
            media_address=None,
            times=self._times,
            drain=self._drain,
            transfers=self.desk.services,
            hold_source=self._hold_source,
        )

    def _place(self, bridged: BridgedCall) -> Call:
        assert bridged.link.address is not None
        return self.near.place_call(bridged.link.profile, bridged.link.address, self.now)

    def _open_media(self, local_host: str) -> CallMedia:
        assert local_host == "192.0.2.1"
        if not self.ports_left:
            raise BridgeError("all pairs of the RTP port range are in use")
        self.ports_left -= 1
        self.media.append(FakeMedia(self.story))
        return cast("CallMedia", self.media[-1])


def signals(stage: Stage) -> str:
    """The signals that arrived, CNG as '.'."""
    return "".join("." if name == CNG else name for _, name in stage.far.signals)


def route(expression: str, *others: str, allow_less_hidden: bool = False) -> Route:
    """A route whose first group is dialed on the stage's link, or on others where that fails."""
    pattern = re.compile(expression)
    template = DialTemplate.parse("{1}", pattern)
    return Route(pattern, "hq", template, others=others, allow_less_hidden=allow_less_hidden)


def with_profile(stage: Stage, **changes: Any) -> None:  # noqa: ANN401
    """Change what the calls of the stage's link have in common."""
    stage.link.profile = replace(stage.link.profile, **changes)


def _name(frame: FullFrame) -> str:
    match frame.frame_type:
        case FrameType.DTMF_END:
            return chr(frame.subclass)
        case FrameType.CNG:
            return CNG
        case _:
            return f"control {frame.subclass}"
