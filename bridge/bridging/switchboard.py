"""All bridged calls: takes phones' calls in, routes the engine's events, keeps the signal clock."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from heapq import heappop, heappush
from typing import NoReturn, Protocol

import structlog

from bridge.bridging.attempts import Way
from bridge.bridging.call import BridgedCall
from bridge.bridging.causes import RETRY_AFTER_S, UNAVAILABLE, FinalStatus
from bridge.bridging.inbound_call import InboundCall
from bridge.bridging.limits import NOBODY, CallGate, TooManyCallsError
from bridge.bridging.link import Link
from bridge.bridging.negotiation import can_serve
from bridge.bridging.reception import Reception
from bridge.bridging.services import CallServices, PhoneLeg
from bridge.dialing.plan import Destination, DialError, DialPlan
from bridge.errors import BridgeError
from bridge.iax2 import (
    Call,
    CallEnded,
    Event,
    Format,
    IncomingCall,
    KeyOrigin,
    LocalProtocolError,
)
from bridge.media.call_media import CallMedia
from bridge.sip.sdp import AudioDescription

_log = structlog.get_logger(__name__)

LiveCall = BridgedCall | InboundCall


class IncomingLeg(PhoneLeg, Protocol):
    """A phone's call that wants to be taken."""

    @property
    def called(self) -> str:
        """The number that the phone dialed."""

    @property
    def user(self) -> str:
        """The name of a phone that has proved itself, empty for one let in by its address."""

    @property
    def caller(self) -> str:
        """The user part of its From, empty where there is none."""

    @property
    def offer(self) -> AudioDescription | None:
        """Its SDP offer, None where it wants ours."""


@dataclass(slots=True)
class SwitchboardCounters:
    """What became of phones' calls since the start."""

    taken: int = 0
    no_route: int = 0
    undialable: int = 0
    no_codec: int = 0
    unavailable: int = 0
    limited: int = 0


class CallRefusedError(BridgeError):
    """A phone's call that is not taken, with the status it gets."""

    def __init__(self, final: FinalStatus, why: str) -> None:
        super().__init__(why)
        self.final = final


class Switchboard:
    """Makes bridged calls, in both directions, and finds them again.

    Args:
        plan: From dialed numbers to links.
        links: By name.
        open_media: Binds RTP ports on a local address.
        services: What the phones' calls use.
        gate: Says which calls are too many.
        reception: Takes the links' calls.
    """

    def __init__(
        self,
        *,
        plan: DialPlan,
        links: Mapping[str, Link],
        open_media: Callable[[str], CallMedia],
        services: CallServices,
        reception: Reception,
        gate: CallGate,
    ) -> None:
        self.counters = SwitchboardCounters()
        self._plan = plan
        self._links = links
        self._open_media = open_media
        self._place_call = services.place
        self._services = replace(services, place=self._place)
        self._reception = reception
        self._gate = gate
        self._live: dict[LiveCall, str] = {}
        """With the phone that placed it."""
        self._by_call: dict[Call, LiveCall] = {}
        self._deadlines: list[float] = []
        self._due: dict[float, list[LiveCall]] = {}
        """Whose slots come at each of the deadlines; many share one."""
        self._stopping = False

    @property
    def live_calls(self) -> int:
        """How many bridged calls are not over."""
        return len(self._live)

    def take(self, leg: IncomingLeg) -> BridgedCall | None:
        """Take a phone's call, or end its leg with the status that says why not."""
        try:
            bridged = self._bridge(leg)
        except CallRefusedError as refusal:
            _log.info("call refused", status=refusal.final.status, why=str(refusal))
            leg.end(refusal.final.status, retry_after_s=refusal.final.retry_after_s)
            return None
        self.counters.taken += 1
        return bridged

    def _bridge(self, leg: IncomingLeg) -> BridgedCall:
        if self._stopping:
            self.counters.unavailable += 1
            raise CallRefusedError(UNAVAILABLE, "the bridge is stopping")
        try:
            self._gate.check(_phone_of(leg), self._live.values(), self._services.clock())
        except TooManyCallsError as error:
            self.counters.limited += 1
            final = FinalStatus(503, error.retry_after_s or RETRY_AFTER_S)
            raise CallRefusedError(final, str(error)) from None
        try:
            destination = self._plan.resolve(leg.called, caller=leg.caller)
        except DialError as error:
            self.counters.undialable += 1
            raise CallRefusedError(FinalStatus(484), str(error)) from None
        if destination is None:
            self.counters.no_route += 1
            raise CallRefusedError(FinalStatus(404), "no route matches the number")
        ways = [way for way in self._ways(destination) if can_serve(leg.offer, way.link.formats)]
        if not ways:
            self.counters.no_codec += 1
            raise CallRefusedError(FinalStatus(488), "the phone offers no codec of the link")
        # A peer that was silent lately comes last: it may have come back meanwhile.
        usable = sorted(filter(self._is_open, ways), key=lambda way: way.link.is_unreachable)
        if not usable:
            self._refuse_closed(ways[0].link)
        return self._start(leg, usable[0], filter(self._is_open, usable[1:]))

    def _ways(self, destination: Destination) -> Iterator[Way]:
        first = self._links[destination.link]
        yield Way(first, destination.digits)
        for other in destination.others:
            link = self._links[other.link]
            if destination.allow_less_hidden or first.peer_rotates or not link.peer_rotates:
                yield Way(link, other.digits)

    def _is_open(self, way: Way) -> bool:
        return way.link.address is not None and not self._is_full(way.link)

    def _refuse_closed(self, link: Link) -> NoReturn:
        if link.address is None:
            self.counters.unavailable += 1
            raise CallRefusedError(UNAVAILABLE, f"the peer of link {link.name} has no address yet")
        self.counters.limited += 1
        raise CallRefusedError(UNAVAILABLE, f"link {link.name} has as many calls as it may")

    def _start(self, leg: IncomingLeg, way: Way, others: Iterable[Way]) -> BridgedCall:
        try:
            media = self._open_media(leg.local_host)
        except BridgeError as error:
            self.counters.unavailable += 1
            raise CallRefusedError(UNAVAILABLE, str(error)) from None
        bridged = BridgedCall(
            self._services,
            leg,
            media,
            way=way,
            others=others,
            over=self._on_over,
        )
        self._live[bridged] = _phone_of(leg)
        try:
            bridged.start()
        except LocalProtocolError as error:
            self.counters.unavailable += 1
            media.close()
            self._live.pop(bridged, None)
            raise CallRefusedError(UNAVAILABLE, str(error)) from None
        except Exception:  # noqa: BLE001 - whatever it was, it was this call's alone
            self._failed(bridged)
        return bridged

    def handle_event(self, event: Event, now: float) -> None:
        """Give an event of the engine to its call; one that is over hears nothing."""
        if isinstance(event, IncomingCall):
            self._take_from_link(event)
            return
        bridged = self._by_call.get(event.call)
        if bridged is None and isinstance(event, CallEnded):
            self._reception.unproven(event)
        if bridged is not None:
            had_clock = bridged.next_deadline() is not None
            self._contain(bridged, bridged.handle_event, event, now)
            if not had_clock:
                self._schedule(bridged)

    def _take_from_link(self, event: IncomingCall) -> None:
        taken = self._reception.take(
            event,
            self._on_over,
            stopping=self._stopping,
            is_full=lambda link: self._gate.is_full(len(self._live)) or self._is_full(link),
        )
        if taken is None:
            return
        inbound, media_format = taken
        self._live[inbound] = NOBODY
        self._by_call[event.call] = inbound
        self._contain(inbound, _begin, inbound, media_format)
        self._schedule(inbound)

    def find(self, call_id: str) -> LiveCall | None:
        """Return the call whose phone's leg has this Call-ID, while both sides talk."""
        for live in self._live:
            if live.phone_leg is not None and live.phone_leg.call_id == call_id:
                return live
        return None

    def next_deadline(self) -> float | None:
        """Return when `handle_deadlines` is due."""
        return self._deadlines[0] if self._deadlines else None

    def handle_deadlines(self, now: float) -> None:
        """Serve every call whose slot has come."""
        while self._deadlines and self._deadlines[0] <= now:
            for bridged in self._due.pop(heappop(self._deadlines)):
                self._contain(bridged, bridged.handle_deadline, now)
                self._schedule(bridged)
        self._services.drain()

    def shut_down(self) -> None:
        """End all calls, both legs of each, and take no more; some take a while to leave a link."""
        self._stopping = True
        for bridged in list(self._live):
            self._contain(bridged, bridged.shut_down)

    def cut_short(self) -> None:
        """Hang up at once on the links that calls are still leaving."""
        for bridged in list(self._live):
            self._contain(bridged, bridged.cut_short)

    def fail(self, media: CallMedia) -> None:
        """End the call whose media failed."""
        for bridged in list(self._live):
            if bridged.media is media:
                self._fail(bridged)

    def _contain(self, bridged: LiveCall, act: Callable[..., None], *arguments: object) -> None:
        """Let an error of ours end one call, never the service."""
        try:
            act(*arguments)
        except Exception:  # noqa: BLE001 - whatever it was, it was this call's alone
            self._failed(bridged)

    def _failed(self, bridged: LiveCall) -> None:
        _log.exception("a call failed", link=bridged.link.name)
        self._fail(bridged)

    def _fail(self, bridged: LiveCall) -> None:
        try:
            bridged.fail()
        except Exception:  # noqa: BLE001 - as above; `fail` has then ended what it could
            _log.exception("a call that failed did not end properly", link=bridged.link.name)

    def _place(self, bridged: BridgedCall) -> Call:
        call = self._place_call(bridged)
        for given_up in bridged.calls:
            self._by_call.pop(given_up, None)
        self._by_call[call] = bridged
        return call

    def _schedule(self, bridged: LiveCall) -> None:
        deadline = bridged.next_deadline()
        if deadline is None:
            return
        if deadline in self._due:
            self._due[deadline].append(bridged)
        else:
            self._due[deadline] = [bridged]
            heappush(self._deadlines, deadline)

    def _is_full(self, link: Link) -> bool:
        calls_max = link.calls_max
        return calls_max is not None and sum(live.link is link for live in self._live) >= calls_max

    def _on_over(self, bridged: LiveCall) -> None:
        self._live.pop(bridged, None)
        for call in bridged.calls:
            self._by_call.pop(call, None)
            if call.keys is not None and call.keys.receiving.origin is KeyOrigin.PEER:
                bridged.link.peer_rotates = True


def _begin(inbound: InboundCall, media_format: Format) -> None:
    try:
        inbound.start(media_format)
    except LocalProtocolError:
        inbound.cut_short()  # it has given up meanwhile


def _phone_of(leg: IncomingLeg) -> str:
    return leg.user or leg.source[0]
