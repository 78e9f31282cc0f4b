"""The far ends of all links beside calls: where they are, whether they answer, who is registered.

Hands addresses on, and tells changes to the log, each once. No I/O of its own.
"""

from collections.abc import Mapping
from typing import Final

import structlog

from bridge.bridging.link import Link
from bridge.iax2 import (
    Address,
    PeerEvent,
    Qualification,
    Reachability,
    ReachabilityChanged,
    Registered,
    RegistrantMoved,
    RegistrantRefused,
    RegistrationChanged,
)

_REACHABILITY: Final = {
    Reachability.REACHABLE: ("info", "the peer is reachable"),
    Reachability.LATE: ("warning", "the peer answers late"),
    Reachability.UNREACHABLE: ("warning", "the peer is unreachable"),
}
_REGISTERED: Final = {
    Registered.REGISTERED: ("info", "registered with the peer"),
    Registered.REFUSED: ("warning", "the peer refuses to register us"),
    Registered.LOST: ("warning", "the peer does not answer our registration"),
    Registered.RELEASED: ("info", "our registration is released"),
}

_log = structlog.get_logger(__name__)


class LinkPeers:
    """The peers of all links, by the links' names."""

    def __init__(self, links: Mapping[str, Link]) -> None:
        self._links = links

    @property
    def releasing(self) -> int:
        """How many registrations wait for the answer to their release, or to a request."""
        return sum(
            link.registration is not None and link.registration.is_busy
            for link in self._links.values()
        )

    def move(self, name: str, address: Address | None, now: float) -> None:
        """Take a peer's address, or that it has none any more."""
        link = self._links[name]
        link.move_to(address)
        for kept_up in (link.qualifier, link.registration):
            if kept_up is not None:
                kept_up.move_to(address, now)

    def release(self, now: float) -> None:
        """Tell all peers that know us to forget us."""
        for link in self._links.values():
            if link.registration is not None:
                link.registration.release(now)

    def handle_event(self, event: PeerEvent, now: float) -> None:
        """Take what the engine tells of a peer."""
        match event:
            case ReachabilityChanged(peer=name, qualification=seen):
                level, text = _REACHABILITY[seen.reachability]
                getattr(_log, level)(text, link=name, **_figures(seen, now))
            case RegistrationChanged(peer=name, seen=seen):
                level, text = _REGISTERED[seen.registered]
                getattr(_log, level)(text, link=name, **_cause(seen.cause))
            case RegistrantMoved(peer=name, address=address):
                self.move(name, address, now)
                _log_registrant(name, address)
            case RegistrantRefused(peer=name):
                _log.warning("a registration as the peer had another secret", link=name)


def _figures(seen: Qualification, now: float) -> dict[str, int]:
    """Return what the log tells: the newest round trip, and how long the peer has been silent."""
    figures = {}
    if seen.last_rtt_s is not None:
        figures["last_rtt_ms"] = round(seen.last_rtt_s * 1000)
    if seen.reachability is Reachability.UNREACHABLE and seen.since is not None:
        figures["silent_s"] = round(now - seen.since)
    return figures


def _cause(cause: int | None) -> dict[str, int]:
    return {} if cause is None else {"cause": cause}


def _log_registrant(name: str, address: Address | None) -> None:
    if address is None:
        _log.warning("the peer is not registered any more", link=name)
    else:
        _log.info("the peer has registered", link=name, host=address[0], port=address[1])
