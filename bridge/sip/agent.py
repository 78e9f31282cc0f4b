"""The SIP agent: calls come in and go out as SipLegs, from one pjsua2 in trio's thread.

Owns the life of the library, the door that requests pass (admission) and the table of calls. A
request runs down this page: limits on strangers within the extension, Door, PjAccount, on_incoming.
It must not know what a leg is bridged with.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import pjsua2 as pj
import structlog
import trio

from bridge.sip.admission import (
    FORBIDDEN,
    Admission,
    Admitted,
    Answer,
    Headers,
    SipRequest,
    allow_networks,
    answer_admitted,
    in_networks,
)
from bridge.sip.call import CallTable, PjAccount, PjCall, log_failure
from bridge.sip.door import Door, Told
from bridge.sip.faults import fault_of
from bridge.sip.identity import caller_of
from bridge.sip.leg import (
    NOT_ACCEPTABLE_HERE,
    SERVER_ERROR,
    LegHandler,
    LegState,
    MakeOffer,
    SipLeg,
)
from bridge.sip.library import QUIET_POLL_S, Library, explain
from bridge.sip.line_limit import LineLimit
from bridge.sip.local_hosts import LocalHosts
from bridge.sip.messages import request_user, sdp_body, uri_place, uri_transport
from bridge.sip.sdes import Srtp
from bridge.sip.sdp import LocalMedia, SdpError, parse_sdp_untrusted
from bridge.sip.settings import SipError, SipSettings, parse_listen_url
from bridge.sip.trunk_account import PjTrunkAccount
from bridge.sip.trunks import Trunk

log = structlog.get_logger("sip")

SHUTDOWN_S = 2.0
GOODBYE_S = 0.1
REFUSAL_LOG_INTERVAL_S = 1.0
UNAVAILABLE = 503
OVERLOADED = Answer(UNAVAILABLE, headers=(("Retry-After", "5"),))

OnIncoming = Callable[[SipLeg], LegHandler | None]


@dataclass(frozen=True, slots=True)
class _Entering:
    """An INVITE that has passed the door, which pjsua2 makes a call of within the same pass."""

    request: SipRequest
    user: str


@dataclass(slots=True)
class SipCounters:
    """What has passed since the agent began."""

    incoming: int = 0
    outgoing: int = 0
    refused_requests: int = 0


class SipAgent:
    """One SIP endpoint. `on_incoming` takes a new leg and returns its handler.

    When `on_incoming` returns None the leg is refused with 500, unless it has ended the leg itself.
    `admission` decides about each request outside a dialog; by default the sources in
    settings.allow are admitted. While `is_overloaded` says so, new calls get 503 and no more, but
    for numbers that `is_urgent`. `trunks` are those of the settings.

    Raises:
        SipError: a listen url that cannot be read.
    """

    def __init__(
        self,
        settings: SipSettings,
        on_incoming: OnIncoming,
        admission: Admission | None = None,
        is_overloaded: Callable[[], bool] = lambda: False,
        is_urgent: Callable[[str], bool] = lambda _number: False,
    ) -> None:
        self.counters = SipCounters()
        self.listening: tuple[str, ...] = ()
        self._settings = settings
        self._listen = tuple(parse_listen_url(url) for url in settings.listen)
        self._on_incoming = on_incoming
        self._admission = admission or allow_networks(settings.allow)
        self._is_overloaded = is_overloaded
        self.believes = in_networks(settings.trust_identity)
        self._is_urgent = is_urgent
        self.trunks = tuple(Trunk(trunk, trio.current_time) for trunk in settings.trunks)
        self._calls = CallTable(self._after_operation)
        self._ids = itertools.count(1)
        self._library: Library | None = None
        self._door = Door(self._decide, self._decide_in_call)
        self._closing = trio.Event()
        self._hosts = LocalHosts(self._listen)
        self._entering: _Entering | None = None
        self._refusal_lines = LineLimit(REFUSAL_LOG_INTERVAL_S)

    @property
    def active_calls(self) -> int:
        """Calls that pjsua2 holds for us, ended ones excluded."""
        return len(self._calls.by_id)

    @property
    def _is_full(self) -> bool:
        return self.active_calls >= self._settings.max_calls

    async def run(
        self,
        *,
        pumps: bool = True,
        task_status: trio.TaskStatus[Library] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Listen and serve until cancelled or closed, then end all calls within 2 s.

        Unless it `pumps`, somebody else drives the library, with which it has started.

        Raises:
            SipError: an address cannot be listened on, or another agent runs in this process.
        """
        library = self._library = Library(self._settings, self._listen)
        door = self._door
        try:
            for network in self._settings.allow:
                door.exempt(str(network))
            door.registerModule()
            library.use_account(PjAccount(self._invited))
            for trunk in self.trunks:
                trunk.open(PjTrunkAccount(trunk, library, self.options))
            self.listening = library.listening
            await self._serve(library, task_status, pumps=pumps)
        finally:
            self._drop_calls()
            door.dropDelayed()
            for trunk in self.trunks:
                trunk.account = None
            library.destroy()
            door.unregisterModule()  # after it: before, pjsip sleeps 100 ms to be on the safe side
            self._library = None

    async def _serve(
        self, library: Library, task_status: trio.TaskStatus[Library], *, pumps: bool
    ) -> None:
        """Pump until told to stop; the goodbyes still need the pump, so it stops last."""
        try:
            async with trio.open_nursery() as nursery:
                if pumps:
                    nursery.start_soon(library.pump)
                for trunk in self.trunks:
                    nursery.start_soon(trunk.run)
                task_status.started(library)
                await self._closing.wait()
                nursery.cancel_scope.cancel()
        finally:
            self._closing.set()
            with trio.CancelScope(shield=True):
                await self._say_goodbye(library)

    async def _say_goodbye(self, library: Library) -> None:
        """End all calls, and wait until the phones have acknowledged it or 2 s have passed.

        Over TCP nothing shows whether they have: there they get a moment.
        """
        moment_s = GOODBYE_S if self._calls.by_id else 0
        for call in list(self._calls.by_id.values()):
            call.leg.end(UNAVAILABLE)
        for trunk in self.trunks:
            trunk.release()
        with trio.move_on_after(SHUTDOWN_S):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(library.pump)
                await trio.sleep(moment_s)
                await library.quiet()
                await self._trunks_are_released()
                nursery.cancel_scope.cancel()

    async def _trunks_are_released(self) -> None:
        # None signals it, as in Library.quiet().
        while any(trunk.is_releasing for trunk in self.trunks):  # noqa: ASYNC110
            await trio.sleep(QUIET_POLL_S)

    def _drop_calls(self) -> None:
        """Let go of what no phone has acknowledged in time; its user still learns of the end."""
        while self._calls.by_id:
            _, call = self._calls.by_id.popitem()
            call.leg.disconnected(UNAVAILABLE, "", None)

    def close(self) -> None:
        """Let run() end, within 2 s."""
        self._closing.set()

    def call(
        self,
        uri: str,
        handler: LegHandler,
        local: LocalMedia,
        from_uri: str = "",
        headers: Headers = (),
        *,
        user: str = "",
    ) -> SipLeg:
        """Place a call that offers `local`, to a phone's `user`; all else is told to `handler`.

        Raises:
            SipError: not running, or the URI cannot be called; neither URI is in the text.
        """
        library = self._running()
        if self._is_full:
            raise SipError("the SIP agent has all the calls it may have")
        call = PjCall(library.account, pj.PJSUA_INVALID_ID, self._calls)
        call.leg = self._leg_toward(call, uri_place(uri), local, self.srtp_toward(uri, user))
        return self._place(call, uri, handler, from_uri, headers)

    def call_trunk(
        self, trunk: Trunk, to: str, handler: LegHandler, offer: MakeOffer, *, urgent: bool = False
    ) -> SipLeg:
        """Place a call on one of `trunks`.

        Args:
            trunk: Which one.
            to: Whom to call there: a user part, escaped.
            handler: Is told all else.
            offer: Makes our offer.
            urgent: No limit holds.

        Raises:
            SipError: not running, the trunk is nowhere or full; the number is not in the text.
        """
        self._running()
        settings, address, srtp = trunk.settings, trunk.address, trunk.settings.srtp
        if address is None or trunk.account is None:
            raise SipError(f"the address of trunk {settings.name} is not known")
        most = settings.calls_max or self._settings.max_calls
        if not urgent and (self._is_full or self.calls_on(trunk) >= most):
            raise SipError(f"trunk {settings.name} has all the calls it may have")
        local = offer(self._hosts.toward(address[0]), srtp)
        call = PjCall(trunk.account, pj.PJSUA_INVALID_ID, self._calls)
        call.trunk = settings.name
        call.leg = self._leg_toward(call, address[:2], local, srtp)
        leg = self._place(call, settings.uri(to), handler, "")
        trunk.calls += 1
        return leg

    def calls_on(self, trunk: Trunk) -> int:
        """How many calls a trunk has now."""
        return sum(call.trunk == trunk.settings.name for call in self._calls.by_id.values())

    def _running(self) -> Library:
        if self._library is None or self._closing.is_set():
            raise SipError("the SIP agent is not running")
        return self._library

    def _leg_toward(
        self, call: PjCall, place: tuple[str, int], local: LocalMedia, srtp: Srtp
    ) -> SipLeg:
        return SipLeg(
            next(self._ids),
            call,
            state=LegState.CALLING,
            source=place,
            local_host=local.host,
            local=local,
            srtp=srtp,
        )

    def _place(
        self, call: PjCall, uri: str, handler: LegHandler, from_uri: str, headers: Headers = ()
    ) -> SipLeg:
        try:
            call.place(uri, from_uri, headers)
        except pj.Error as error:
            raise SipError(f"the SIP URI cannot be called: {explain(error.status)}") from None
        if not call.isActive():
            raise SipError("the SIP URI cannot be reached")
        self._calls.by_id[call.getId()] = call
        call.leg.call_id = call.getInfo().callIdString
        call.leg.begin(handler)
        self.counters.outgoing += 1
        return call.leg

    def trust(self, host: str, is_trusted: bool) -> None:  # noqa: FBT001  # a callback
        """Let a source through to us though strangers use up what all may send together."""
        (self._door.trust if is_trusted else self._door.distrust)(host)

    def options(self, uri: str, told: Told) -> None:
        """Ask whoever is at a SIP URI whether it is there; `told` gets the final status."""
        if self._library is not None and not self._closing.is_set():
            self._door.options(uri, told)
            self._after_operation()

    def _after_operation(self) -> None:
        if self._library is not None:
            self._library.reschedule()

    # The way of an incoming request, in order.

    def _decide(self, request: SipRequest) -> Answer | None:
        """What becomes of a request outside a dialog; None: pjsua2 makes a call of it."""
        if self._closing.is_set():
            return Answer(UNAVAILABLE)
        decision = self._admission(request)
        if isinstance(decision, Admitted):
            if request.method == "INVITE" and self._is_too_much(request):
                return OVERLOADED
            if fault := fault_of(request):
                return fault
            self._entering = _Entering(request, decision.user)
            return answer_admitted(request, self._settings.min_se_s)
        if decision.status == FORBIDDEN.status:
            self._note_refusal(request.source[0])
        return decision

    def _is_too_much(self, request: SipRequest) -> bool:
        is_busy = self._is_full or self._is_overloaded()
        return is_busy and not self._is_urgent(request_user(request.message))

    def _decide_in_call(self, call_id: int, request: SipRequest) -> Answer | None:
        """INFO, OPTIONS and REFER within a call."""
        call = self._calls.by_id.get(call_id)
        return None if call is None else call.asked(request)

    def _note_refusal(self, host: str) -> None:
        """Count it; log one line each second at most, with the address and nothing else."""
        self.counters.refused_requests += 1
        if refused := self._refusal_lines.take(trio.current_time()):
            log.warning("request refused", source=host, refused=refused)

    def _invited(self, account: pj.Account, prm: pj.OnIncomingCallParam) -> None:
        """An admitted INVITE: make a leg of it and offer it to our user."""
        call = PjCall(account, prm.callId, self._calls)
        self._calls.by_id[prm.callId] = call
        entering, self._entering = self._entering, None
        assert entering is not None  # noqa: S101  # pjsua2 has no INVITE but from the door
        call.leg = self._leg_of(call, entering.request, entering.user)
        self.counters.incoming += 1
        try:
            self._offer_leg(call.leg, sdp_body(entering.request.message))
        except SdpError:
            call.leg.end(NOT_ACCEPTABLE_HERE)
        except Exception as error:  # noqa: BLE001  # whatever it is, it must not reach C++
            log_failure("on_incoming", error)
            call.fail()

    def _leg_of(self, call: PjCall, request: SipRequest, user: str) -> SipLeg:
        headers, source = request.headers, request.source
        return SipLeg(
            next(self._ids),
            call,
            state=LegState.INVITED,
            caller=caller_of(headers, user, is_trusted=self.believes(source[0])),
            called=request_user(request.message),
            source=source,
            local_host=self._hosts.reached_by(source[0], request.local[0]),
            srtp=self._settings.srtp_over(request.transport, user),
            user=user,
            transport=request.transport.lower().removesuffix("6"),
            call_id=headers.first("call-id"),
        )

    def _offer_leg(self, leg: SipLeg, offer: str) -> None:
        leg.offer = parse_sdp_untrusted(offer, leg.srtp) if offer else None
        handler = self._on_incoming(leg)
        if handler is not None:
            leg.begin(handler)
        elif not leg.is_over:
            leg.end(SERVER_ERROR)

    def srtp_toward(self, uri: str, user: str = "") -> Srtp:
        """Whether audio is encrypted with a phone, `user`'s, of this sip URI."""
        return self._settings.srtp_over(uri_transport(uri), user)

    def host_toward(self, uri: str) -> str:
        """The address of ours that a sip URI is called from; empty when it leads nowhere."""
        return self._hosts.toward(uri_place(uri)[0])
