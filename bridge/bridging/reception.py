"""Takes the calls that links' peers place: which link, whether at all, and with what media."""

from collections.abc import Callable, Iterable
from contextlib import suppress

import structlog

from bridge.bridging.inbound_call import InboundCall
from bridge.bridging.link import Acceptance, Link
from bridge.bridging.services import CallServices
from bridge.errors import BridgeError
from bridge.iax2 import (
    CalleeCall,
    CallEnded,
    Cause,
    EndReason,
    Format,
    IncomingCall,
    LocalProtocolError,
)
from bridge.media.call_media import CallMedia

_log = structlog.get_logger(__name__)


class CallRejectedError(BridgeError):
    """A link's call that is not taken, with the cause that its peer gets."""

    def __init__(self, cause: Cause, why: str) -> None:
        super().__init__(why)
        self.cause = cause


class Reception:
    """Makes a call of what a link's peer asks for.

    Args:
        links: All of them; those that accept calls are found by the name that their peer uses.
        open_media: Binds RTP ports.
        services: What the calls use.
        is_overloaded: Whether another call would be one too many.

    Attributes:
        taken, rejected: Calls since the start.
    """

    def __init__(
        self,
        links: Iterable[Link],
        open_media: Callable[[], CallMedia],
        services: CallServices,
        is_overloaded: Callable[[], bool] = lambda: False,
    ) -> None:
        self.taken = self.rejected = 0
        self._links = {
            link.acceptance.username: (link, link.acceptance) for link in links if link.acceptance
        }
        self._open_media = open_media
        self._services = services
        self._is_overloaded = is_overloaded
        self._unproven: set[str] = set()
        """Links whose peer's name was last used with another secret."""

    def take(
        self,
        event: IncomingCall,
        over: Callable[[InboundCall], None],
        *,
        stopping: bool,
        is_full: Callable[[Link], bool],
    ) -> tuple[InboundCall, Format] | None:
        """Make a call that is to be started in a format, or reject what came."""
        call = event.call
        assert isinstance(call, CalleeCall)  # noqa: S101 - the engine tells of no others
        try:
            link, acceptance, media_format = self._choose(event, is_full, stopping=stopping)
            inbound = InboundCall(
                self._services,
                call,
                self._media(),
                link=link,
                acceptance=acceptance,
                over=over,
            )
        except CallRejectedError as rejection:
            self.rejected += 1
            _log.info("call from a link rejected", call=call.id, why=str(rejection))
            with suppress(LocalProtocolError):  # it may have given up meanwhile
                call.reject(self._services.clock(), rejection.cause)
            self._services.drain()
            return None
        self.taken += 1
        self._unproven.discard(link.name)
        return inbound, media_format

    def unproven(self, event: CallEnded) -> None:
        """Tell of a caller with another secret or key, once until one has proven the right one."""
        call = event.call
        if event.reason is not EndReason.SECRETS_DIFFER or not isinstance(call, CalleeCall):
            return
        link, _ = self._links[call.username or ""]
        if link.name not in self._unproven:
            self._unproven.add(link.name)
            _log.warning("a call in the peer's name had another secret or key", link=link.name)

    def _choose(
        self, event: IncomingCall, is_full: Callable[[Link], bool], *, stopping: bool
    ) -> tuple[Link, Acceptance, Format]:
        if stopping:
            raise CallRejectedError(Cause.NORMAL_TEMPORARY_FAILURE, "the bridge is stopping")
        if self._is_overloaded():
            raise CallRejectedError(Cause.SWITCH_CONGESTION, "the bridge is overloaded")
        link, acceptance = self._links[event.username]
        if event.called_number != link.profile.called_number:
            raise CallRejectedError(Cause.NO_ROUTE_DESTINATION, "not the link's extension")
        if is_full(link):
            raise CallRejectedError(Cause.SWITCH_CONGESTION, "as many calls as there may be")
        for media_format in link.formats:
            if media_format in event.formats:
                return link, acceptance, media_format
        raise CallRejectedError(
            Cause.BEARER_CAPABILITY_NOT_AVAILABLE, "the peer offers no codec of the link"
        )

    def _media(self) -> CallMedia:
        try:
            return self._open_media()
        except BridgeError as error:
            raise CallRejectedError(Cause.SWITCH_CONGESTION, str(error)) from None
