"""What is seen of SIP trunks, for the status."""

from collections.abc import Callable

from bridge.sip.agent import SipAgent
from bridge.sip.trunks import TrunkState
from bridge.status.model import TrunkStatus
from bridge.status.observing import address_text, left_s

_UP = frozenset({TrunkState.REGISTERED, TrunkState.ANSWERS})


def trunks_seen(agent: SipAgent, clock: Callable[[], float]) -> tuple[TrunkStatus, ...]:
    """Return how each trunk of an agent stands."""
    now = clock()
    return tuple(
        TrunkStatus(
            trunk=trunk.settings.name,
            server=None if trunk.address is None else address_text(trunk.address),
            state=trunk.seen.state.value,
            is_up=trunk.seen.state in _UP,
            since_s=None if trunk.seen.since is None else round(now - trunk.seen.since, 3),
            expires_in_s=left_s(trunk.seen.expires_at, now),
            tries_failed=trunk.seen.tries_failed,
            status=trunk.seen.status,
            live_calls=agent.calls_on(trunk),
            calls=trunk.calls,
        )
        for trunk in agent.trunks
    )
