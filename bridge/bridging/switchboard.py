"""All bridged calls: takes phones' calls in, routes the engine's events, keeps the signal clock."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from heapq import heappop, heappush
from itertools import count
from typing import Protocol

import structlog

from bridge.bridging.call import BridgedCall
from bridge.bridging.causes import UNAVAILABLE, FinalStatus
from bridge.bridging.link import Link
from bridge.bridging.negotiation import can_serve
from bridge.bridging.services import CallServices, PhoneLeg
from bridge.dialing.plan import DialError, DialPlan
from bridge.errors import BridgeError
from bridge.iax2 import Call, Event, LocalProtocolError
from bridge.media.call_media import CallMedia
from bridge.sip.sdp import AudioDescription

_log = structlog.get_logger(__name__)


class IncomingLeg(PhoneLeg, Protocol):
    """A phone's call that wants to be taken."""

    @property
    def called(self) -> str:
        """The number that the phone dialed."""

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


class CallRefusedError(BridgeError):
    """A phone's call that is not taken, with the status it gets."""

    def __init__(self, final: FinalStatus, why: str) -> None:
        super().__init__(why)
        self.final = final


class Switchboard:
    """Makes bridged calls and finds them again.

    Args:
        plan: From dialed numbers to links.
        links: By name.
        open_media: Binds RTP ports on a local address.
        services: What the calls use.
    """

    def __init__(
        self,
        *,
        plan: DialPlan,
        links: Mapping[str, Link],
        open_media: Callable[[str], CallMedia],
        services: CallServices,
    ) -> None:
        self.counters = SwitchboardCounters()
        self._plan = plan
        self._links = links
        self._open_media = open_media
        self._place_call = services.place
        self._services = replace(services, place=self._place)
        self._live: set[BridgedCall] = set()
        self._by_call: dict[Call, BridgedCall] = {}
        self._deadlines: list[tuple[float, int, BridgedCall]] = []
        self._order = count()
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
            destination = self._plan.resolve(leg.called)
        except DialError as error:
            self.counters.undialable += 1
            raise CallRefusedError(FinalStatus(484), str(error)) from None
        if destination is None:
            self.counters.no_route += 1
            raise CallRefusedError(FinalStatus(404), "no route matches the number")
        link = self._links[destination.link]
        if not can_serve(leg.offer, link.formats):
            self.counters.no_codec += 1
            raise CallRefusedError(FinalStatus(488), "the phone offers no codec of the link")
        return self._start(leg, link, destination.digits)

    def _start(self, leg: IncomingLeg, link: Link, digits: str) -> BridgedCall:
        if link.address is None:
            self.counters.unavailable += 1
            raise CallRefusedError(UNAVAILABLE, f"the peer of link {link.name} has no address yet")
        try:
            media = self._open_media(leg.local_host)
        except BridgeError as error:
            self.counters.unavailable += 1
            raise CallRefusedError(UNAVAILABLE, str(error)) from None
        bridged = BridgedCall(
            self._services, leg, media, link=link, digits=digits, over=self._on_over
        )
        self._live.add(bridged)
        with self._containing(bridged):
            try:
                bridged.start()
            except LocalProtocolError as error:
                self.counters.unavailable += 1
                media.close()
                self._live.discard(bridged)
                raise CallRefusedError(UNAVAILABLE, str(error)) from None
        return bridged

    def handle_event(self, event: Event, now: float) -> None:
        """Give an event of the engine to its call; one that is over hears nothing."""
        bridged = self._by_call.get(event.call)
        if bridged is not None:
            had_clock = bridged.next_deadline() is not None
            with self._containing(bridged):
                bridged.handle_event(event, now)
            if not had_clock:
                self._schedule(bridged)

    def next_deadline(self) -> float | None:
        """Return when `handle_deadlines` is due."""
        return self._deadlines[0][0] if self._deadlines else None

    def handle_deadlines(self, now: float) -> None:
        """Serve every call whose slot has come."""
        while self._deadlines and self._deadlines[0][0] <= now:
            bridged = heappop(self._deadlines)[2]
            with self._containing(bridged):
                bridged.handle_deadline(now)
            self._schedule(bridged)

    def shut_down(self) -> None:
        """End all calls, both legs of each, and take no more."""
        self._stopping = True
        for bridged in list(self._live):
            with self._containing(bridged):
                bridged.shut_down()

    def fail(self, media: CallMedia) -> None:
        """End the call whose media failed."""
        for bridged in list(self._live):
            if bridged.media is media:
                self._fail(bridged)

    @contextmanager
    def _containing(self, bridged: BridgedCall) -> Iterator[None]:
        """Let an error of ours end one call, never the service."""
        try:
            yield
        except CallRefusedError:
            raise
        except Exception:  # noqa: BLE001 - whatever it was, it was this call's alone
            _log.exception("a call failed", link=bridged.link.name)
            self._fail(bridged)

    def _fail(self, bridged: BridgedCall) -> None:
        try:
            bridged.fail()
        except Exception:  # noqa: BLE001 - as above; `fail` has then ended what it could
            _log.exception("a call that failed did not end properly", link=bridged.link.name)

    def _place(self, bridged: BridgedCall) -> Call:
        call = self._place_call(bridged)
        self._by_call[call] = bridged
        return call

    def _schedule(self, bridged: BridgedCall) -> None:
        deadline = bridged.next_deadline()
        if deadline is not None:
            heappush(self._deadlines, (deadline, next(self._order), bridged))

    def _on_over(self, bridged: BridgedCall) -> None:
        self._live.discard(bridged)
        for call in bridged.calls:
            self._by_call.pop(call, None)
