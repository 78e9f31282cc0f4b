"""Watches all calls on all links, and answers what was seen of them.

Reads the engine's counters when it is asked, and every ten seconds for the sake of the last
minute: nothing is added per packet. Never raises for what a peer did.
"""

import math
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

import trio

from bridge import __version__
from bridge.iax2 import (
    Address,
    Call,
    CalleeCall,
    CallEnded,
    Event,
    KeyUse,
    Qualification,
    RegistrantSeen,
    RegistrationSeen,
    VoicePath,
)
from bridge.iax2.states import State
from bridge.status.grading import grade_call, grade_end, grade_link
from bridge.status.model import (
    CallStatus,
    Dropped,
    Grade,
    Key,
    LinkStatus,
    OurRegistration,
    PeerRegistration,
    Received,
    Sent,
    Status,
    TrunkStatus,
    Verdict,
)

SAMPLE_S: Final = 10.0
_WINDOW_S: Final = 60.0
_CIPHER: Final = "AES-128-CBC"
_CALLS_A_TURN: Final = 50
"""Calls looked at before others get their turn: audio does not wait for who asks."""

_STATE_WORDS: Final = {
    State.INITIAL: "new",
    State.NEW_SENT: "setting up",
    State.GIVEN_UP: "over",
    State.AUTHREP_SENT: "proving",
    State.AUTHREQ_SENT: "challenged",
    State.AUTHENTICATED: "proven",
    State.LINKED: "accepted",
    State.UP: "up",
    State.HANGUP_SENT: "hanging up",
    State.ENDED: "over",
}


class ObservedLink(Protocol):
    """What is looked at of a link."""

    @property
    def name(self) -> str:
        """As configured."""

    @property
    def address(self) -> Address | None:
        """Where the peer is, None while its name does not resolve or it has not registered."""

    @property
    def registration_seen(self) -> RegistrationSeen | None:
        """How our registration with the peer stands, None where we do not register."""

    @property
    def registrant_seen(self) -> RegistrantSeen | None:
        """Where the peer has registered, None where it does not."""

    @property
    def qualification(self) -> Qualification | None:
        """What is known of the peer's reachability; None where it is not asked."""


class Minute:
    """How much a counter grew in the last minute, to ten seconds."""

    __slots__ = ("_samples",)

    def __init__(self) -> None:
        self._samples = deque(((-math.inf, 0),))

    def sample(self, now: float, count: int) -> None:
        """Take note of the counter; what is older than a minute is forgotten but for one."""
        self._samples.append((now, count))
        while len(self._samples) > 1 and self._samples[1][0] <= now - _WINDOW_S:
            self._samples.popleft()

    def growth(self, count: int) -> int:
        """Return by how much it grew since the oldest note."""
        return count - self._samples[0][1]


@dataclass(slots=True)
class _Watched:
    link: str
    started_at: float
    minute: Minute = field(default_factory=Minute)


@dataclass(slots=True)
class _LinkRecord:
    """What is kept of a link beyond its calls."""

    minute: Minute = field(default_factory=Minute)
    calls: int = 0
    sent: Sent = field(default_factory=Sent)
    received: Received = field(default_factory=Received)
    last_end: str | None = None
    last: Verdict | None = None
    live: dict[Call, _Watched] = field(default_factory=dict)


class Observer:
    """What was seen since the start.

    Args:
        site: Name of the service's site.
        links: All of them, in the order to show.
        clock: Returns now in seconds.
        outside_calls: Counts of datagrams that belong to no call.
        phones: Returns what became of phones' calls.
        trunks: Returns how the SIP trunks stand.
    """

    def __init__(
        self,
        site: str,
        links: Iterable[ObservedLink],
        clock: Callable[[], float],
        outside_calls: Mapping[str, int],
        phones: Callable[[], Mapping[str, int]],
        *,
        trunks: Callable[[], tuple[TrunkStatus, ...]] = tuple,
    ) -> None:
        self._site = site
        self._links = tuple(links)
        self._clock = clock
        self._outside_calls = outside_calls
        self._phones = phones
        self._trunks = trunks
        self._ready_at = math.nan
        self._records = {link.name: _LinkRecord() for link in self._links}
        self._link_of: dict[Call, str] = {}

    def started(self, call: Call, link: str) -> None:
        """Watch a call that has begun on a link."""
        record = self._records[link]
        record.calls += 1
        record.live[call] = _Watched(link, self._clock())
        self._link_of[call] = link

    def handle_event(self, event: Event) -> None:
        """Take note of a call's end: what was seen of it goes into the sums of its link."""
        if not isinstance(event, CallEnded):
            return
        call = event.call
        link = self._link_of.pop(call, None)
        if link is None:
            return
        record = self._records[link]
        seen = _call_status(call, record.live.pop(call), self._clock())
        record.sent += seen.sent
        record.received += seen.received
        record.last_end = event.reason.value
        record.last = grade_end(event.reason, seen.verdict) or record.last

    def refused(self, link: str) -> None:
        """Take note of a call in the peer's name by somebody who did not prove the secret."""
        record = self._records[link]
        record.last_end = "somebody called in the peer's name with another secret or key"
        record.last = Verdict(Grade.BAD, record.last_end)

    async def run(self) -> None:
        """Keep the counters of the last minute, until cancelled; the service is ready now."""
        self._ready_at = self._clock()
        while True:
            await trio.sleep(SAMPLE_S)
            self.sample()

    def sample(self) -> None:
        """Take note of the counters that are told for the last minute."""
        now = self._clock()
        for record in self._records.values():
            total = record.received.dropped.unreadable
            for call, watched in record.live.items():
                unreadable = _unreadable(call)
                watched.minute.sample(now, unreadable)
                total += unreadable
            record.minute.sample(now, total)

    async def status(self) -> Status:
        """Return the answer; other tasks get their turn in between."""
        seen = {}
        for turn, call in enumerate(list(self._link_of)):
            if turn % _CALLS_A_TURN == 0:
                await trio.lowlevel.checkpoint()
            link = self._link_of.get(call)
            if link is not None:
                seen[call] = _call_status(call, self._records[link].live[call], self._clock())
        # A call that ended meanwhile is in the sums of its link already.
        calls = [status for call, status in seen.items() if call in self._link_of]
        return Status(
            version=__version__,
            site=self._site,
            uptime_s=round(self._clock() - self._ready_at, 3),
            links=tuple(self._link_status(link, calls) for link in self._links),
            calls=tuple(calls),
            outside_calls=dict(self._outside_calls),
            phones=dict(self._phones()),
            trunks=self._trunks(),
        )

    def _link_status(self, link: ObservedLink, calls: Iterable[CallStatus]) -> LinkStatus:
        record = self._records[link.name]
        own = [call for call in calls if call.link == link.name]
        received = sum((call.received for call in own), record.received)
        asked = link.qualification
        reachability = asked.reachability if asked else None
        since = asked.since if asked else None
        return LinkStatus(
            link=link.name,
            peer=None if link.address is None else address_text(link.address),
            reachability=reachability,
            reachability_s=None if since is None else round(self._clock() - since, 3),
            rtt_ms=_ms(asked.rtt_s) if asked else None,
            jitter_ms=max((c.jitter_ms for c in own if c.jitter_ms is not None), default=None),
            live_calls=len(own),
            calls=record.calls,
            sent=sum((call.sent for call in own), record.sent),
            received=received,
            unreadable_last_minute=record.minute.growth(received.dropped.unreadable),
            last_end=record.last_end,
            verdict=grade_link(
                own, record.last, nowhere=_why_nowhere(link), reachability=reachability
            ),
            our_registration=_our_registration(link.registration_seen, self._clock()),
            peer_registration=_peer_registration(link.registrant_seen, self._clock()),
        )


def _why_nowhere(link: ObservedLink) -> str | None:
    if link.address is not None:
        return None
    registers = link.registrant_seen is not None
    return "the peer has not registered" if registers else "the peer's name does not resolve"


def _our_registration(seen: RegistrationSeen | None, now: float) -> OurRegistration | None:
    if seen is None:
        return None
    return OurRegistration(
        state=seen.registered.value,
        since_s=None if seen.since is None else round(now - seen.since, 3),
        expires_in_s=left_s(seen.expires_at, now),
        tries_failed=seen.tries_failed,
        cause=seen.cause,
    )


def _peer_registration(seen: RegistrantSeen | None, now: float) -> PeerRegistration | None:
    return None if seen is None else PeerRegistration(left_s(seen.expires_at, now), seen.refused)


def left_s(at: float | None, now: float) -> float | None:
    """How long it is until then; None where it is not known when."""
    return None if at is None else round(max(at - now, 0), 3)


def _call_status(call: Call, watched: _Watched, now: float) -> CallStatus:
    sent, received, voice = _sent(call), _received(call), call.voice
    far = call.far_reception
    unreadable = watched.minute.growth(received.dropped.unreadable)
    keys = call.keys
    receiving = _key(keys.receiving, now) if keys else None
    return CallStatus(
        call=call.id,
        link=watched.link,
        direction="from peer" if isinstance(call, CalleeCall) else "to peer",
        state=_STATE_WORDS[call.state],
        age_s=round(now - watched.started_at, 3),
        encrypted=call.is_encrypted,
        cipher=_CIPHER if keys else None,
        sending_key=_key(keys.sending, now) if keys else None,
        receiving_key=receiving,
        codec=None if voice is None else str(voice.format.name).lower(),
        sent=sent,
        received=received,
        unreadable_last_minute=unreadable,
        rtt_ms=_ms(call.rtt_s),
        jitter_ms=_jitter_ms(voice),
        far_jitter_ms=None if far is None else far.jitter_ms,
        far_loss_percent=None if far is None else far.loss_percent,
        verdict=grade_call(
            key=receiving,
            sent=sent,
            received=received,
            unreadable_last_minute=unreadable,
        ),
    )


def _key(use: KeyUse, now: float) -> Key:
    return Key(use.origin, round(now - use.since, 3))


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 3)


def _sent(call: Call) -> Sent:
    seen = call.statistics
    return Sent(
        full_frames=seen.sent_encrypted,
        voice_frames=call.voice.sent if call.voice else 0,
        clear_frames=seen.sent_clear,
        retransmitted=seen.retransmitted,
    )


def _received(call: Call) -> Received:
    seen, voice = call.statistics, call.voice
    return Received(
        full_frames=seen.received_encrypted,
        voice_frames=voice.received if voice else 0,
        clear_frames=seen.received_clear,
        lost_voice_frames=voice.lost if voice else 0,
        dropped=Dropped(
            implausible=seen.dropped_implausible,
            implausible_voice=voice.dropped_implausible if voice else 0,
            clear=seen.dropped_clear,
            malformed=seen.dropped_malformed,
            wrong_size=voice.dropped_size if voice else 0,
            out_of_place=seen.dropped_illegal,
        ),
    )


def _unreadable(call: Call) -> int:
    in_voice = call.voice.dropped_implausible if call.voice else 0
    return call.statistics.dropped_implausible + in_voice


def _jitter_ms(voice: VoicePath | None) -> float | None:
    return round(voice.jitter_ms, 3) if voice is not None and voice.received else None


def address_text(address: Address) -> str:
    """An address as users write it."""
    host, port = address[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
