"""The composition root: the one place where parts are wired and the nursery is opened."""

import random
import secrets
import signal
import socket
import sys
from collections.abc import AsyncIterator
from dataclasses import asdict
from functools import partial
from typing import Final

import structlog
import trio

from bridge import __version__, config, log, parts
from bridge.bridging.call import BridgedCall
from bridge.bridging.emergency import EmergencyCall
from bridge.bridging.inbound_call import InboundCall
from bridge.bridging.limits import CallGate
from bridge.bridging.link import Link
from bridge.bridging.link_peers import LinkPeers
from bridge.bridging.reception import Reception
from bridge.bridging.services import CallServices
from bridge.bridging.switchboard import Switchboard
from bridge.bridging.tones import tones_of
from bridge.bridging.transfer import Transfer
from bridge.bridging.transfer_services import TransferServices
from bridge.bridging.transfer_targets import TransferTargets
from bridge.config import Configuration, HostPort, Loaded
from bridge.descriptors import use_what_is_allowed
from bridge.dialing.delivery import Phone, RegisteredPhone, Target, TrunkNumber
from bridge.dialing.plan import DialPlan
from bridge.iax2 import (
    Address,
    Call,
    CalleeCall,
    CallEnded,
    Endpoint,
    EndReason,
    Event,
    IncomingCall,
)
from bridge.iax2.errors import LocalProtocolError
from bridge.media.call_media import CallMedia
from bridge.media.ports import PortPool
from bridge.media.relay import Relay
from bridge.net.alarm import Alarm
from bridge.net.challenge_store import ChallengeStore
from bridge.net.garbage import CallGarbage
from bridge.net.lag_watch import LagWatch
from bridge.net.link_socket import LinkSocket
from bridge.net.media_driver import media_sources
from bridge.net.resolver import keep_resolved
from bridge.net.sip_driver import Driven, sip_sources
from bridge.net.sources import Sources
from bridge.sip.admission import Headers
from bridge.sip.agent import SipAgent
from bridge.sip.identity import presented
from bridge.sip.leg import MakeOffer, SipLeg
from bridge.sip.messages import uri_place
from bridge.sip.phones import Phones
from bridge.sip.settings import uri_host
from bridge.status.observing import Observer
from bridge.status.serving import serve_observer
from bridge.status.tracing import FrameTrace, TraceRequest
from bridge.status.trunks import trunks_seen

LEAVE_WITHIN_S: Final = 2.2
"""For calls to complete what they have begun on the link: the default burst takes up to 2.12 s."""
ACKNOWLEDGED_WITHIN_S: Final = 0.3
"""For the HANGUPs then sent to be acknowledged; the whole stop stays below three seconds."""

_STOP_LOOK_S: Final = 0.05
_TrunkCaller = InboundCall | EmergencyCall
_log = structlog.get_logger(__name__)


def run(loaded: Loaded, trace: TraceRequest | None = None) -> int:
    """Run the bridge until SIGTERM or SIGINT; returns the exit code.

    Raises:
        BridgeError: it cannot start; the text says what to do.
    """
    use_what_is_allowed()
    trio.run(_serve, loaded.configuration, trace)
    return 0


async def _serve(configuration: Configuration, trace: TraceRequest | None) -> None:
    await Service(configuration, trace).run()


class Service:
    """The bridge: every part, made from one configuration, and the wires between them.

    Made within trio.run(), whose clock is read by all parts.
    """

    def __init__(self, configuration: Configuration, trace: TraceRequest | None = None) -> None:
        self._configuration = configuration
        self._clock = trio.lowlevel.current_clock().current_time
        self._challenges = ChallengeStore(configuration.state_dir / "challenges")
        self._links = {
            name: parts.link(name, settings, self._challenges.memory(name))
            for name, settings in configuration.links.items()
        }
        self._peers = LinkPeers(self._links)
        self._trace = None if trace is None else self._frame_trace(trace)
        self._endpoint = Endpoint(
            parts.users(configuration),
            registrants=parts.registrants(configuration),
            watch=self._trace,
        )
        self._socket = self._link_socket()
        ports = configuration.sip.rtp_ports
        self._ports = PortPool(ports.first, ports.last, random.SystemRandom())
        self._relay = self._voice_relay()
        self._slot_alarm = Alarm()
        self._lag = LagWatch(backlog=self._socket.backlog)
        self._tones = tones_of(configuration.sip.tones)
        self._delivery = parts.delivery_plan(configuration)
        self._phones = (
            Phones(parts.phone_settings(configuration)) if configuration.sip.phones else None
        )
        own_hosts = parts.own_hosts(configuration)
        self._targets = TransferTargets(self._delivery, self._phones, own_hosts)
        plan = parts.dial_plan(configuration)
        self._emergencies = parts.emergency_desk(
            configuration, plan, partial(self._call_trunk, urgent=True), self._relay.open
        )
        self._switchboard = self._make_switchboard(plan)
        self._agent = self._sip_agent()
        self._trunks = {trunk.settings.name: trunk for trunk in self._agent.trunks}
        self._link_of_user = {
            link.acceptance.username: name for name, link in self._links.items() if link.acceptance
        }
        self._observer = self._make_observer()
        self._garbage = CallGarbage()
        self._stop = trio.Event()

    def _make_switchboard(self, plan: DialPlan) -> Switchboard:
        services = self._call_services()
        return Switchboard(
            plan=plan,
            gate=CallGate(parts.call_limits(self._configuration)),
            links=self._links,
            open_media=self._relay.open,
            services=services,
            reception=self._reception(services),
        )

    def _sip_agent(self) -> SipAgent:
        return SipAgent(
            parts.sip_settings(self._configuration),
            self._take,
            self._phones.admission if self._phones else None,
            self._lag.is_overloaded,
            self._emergencies.is_emergency,
        )

    def _link_socket(self) -> LinkSocket:
        bind = self._configuration.iax.bind
        handlers = (self._receive_voice, self._handle_event, self._peers.handle_event)
        return LinkSocket((bind.host, bind.port), self._endpoint, *handlers, clock=self._clock)

    def _voice_relay(self) -> Relay:
        relay = Relay(self._socket.send_batch, self._ports, self._on_media_failure)
        self._socket.read_by(relay.link_reader)
        return relay

    def _reception(self, services: CallServices) -> Reception:
        return Reception(
            self._links.values(),
            partial(self._relay.open, parts.rtp_host(self._configuration)),
            services,
            self._lag.is_overloaded,
        )

    def _make_observer(self) -> Observer:
        return Observer(
            self._configuration.site,
            self._links.values(),
            self._clock,
            self._endpoint.dropped,
            lambda: {**asdict(self._switchboard.counters), "emergency": self._emergencies.taken},
            trunks=partial(trunks_seen, self._agent, self._clock),
        )

    def _frame_trace(self, trace: TraceRequest) -> FrameTrace:
        link = self._links[trace.link]
        return FrameTrace(lambda: link.address, sys.stdout, digits=trace.digits)

    def _call_services(self) -> CallServices:
        sip = self._configuration.sip
        return CallServices(
            clock=self._clock,
            uniform=secrets.SystemRandom().uniform,
            place=self._place,
            find_phone=self._find_phone,
            call_phone=self._call_target,
            tone=self._tones,
            media_address=str(sip.media_address) if sip.media_address else None,
            times=parts.call_times(self._configuration),
            drain=self._socket.drain,
            transfers=self._transfer_services(),
            hold_source=parts.hold_source(self._configuration),
            in_band_digits=sip.in_band_digits,
        )

    def _transfer_services(self) -> TransferServices:
        return TransferServices(
            clock=self._clock,
            tone=self._tones,
            find_phone=self._targets.find,
            call_phone=self._call_phone,
            find_call=lambda call_id: self._switchboard.find(call_id),  # noqa: PLW0108  made later
            open_ports=self._ports.open,
            close_ports=self._ports.close,
            move=self._relay.move,
        )

    async def run(self) -> None:
        """Serve until a signal, then end all calls and return."""
        with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
            async with trio.open_nursery() as listening:
                listening.start_soon(self._listen, signals)
                await self._serve()
                listening.cancel_scope.cancel()
        self._relay.close()
        self._socket.close()
        self._challenges.close()
        _log.info("stopped", **self._remains())

    async def _listen(self, signals: AsyncIterator[int]) -> None:
        """Stop at the first signal; who sends another one does not get us to stop faster."""
        async for number in signals:
            _log.info("stopping", signal=signal.Signals(number).name)
            self._stop.set()

    async def _serve(self) -> None:
        async with trio.open_nursery() as nursery:
            await self._start(nursery)
            self._garbage.spare_what_stands()
            _log.info(
                "ready",
                version=__version__,
                site=self._configuration.site,
                sip=[str(url) for url in self._configuration.sip.listen],
                iax2=str(self._configuration.iax.bind),
                links=list(self._links),
                relay=self._relay.path_name,
            )
            await self._stop.wait()
            await self._end_calls()
            nursery.cancel_scope.cancel()

    async def _start(self, nursery: trio.Nursery) -> None:
        family = socket.AF_INET6 if ":" in self._configuration.iax.bind.host else socket.AF_INET
        nursery.start_soon(self._challenges.run)
        for name, settings in self._configuration.links.items():
            self._keep_up(self._links[name], settings)
            peer = settings.peer
            if isinstance(peer, HostPort):
                take = partial(self._move_peer, name)
                nursery.start_soon(keep_resolved, peer.host, peer.port, family, take, name)
        for name, trunk in self._trunks.items():
            server = self._configuration.trunks[name].server
            their = parts.trunk_family(self._configuration, name)
            nursery.start_soon(keep_resolved, server.host, server.port, their, trunk.move_to, name)
        if self._phones:
            await nursery.start(self._phones.run, self._agent)
        nursery.start_soon(serve_observer, self._observer, self._configuration, self._trace)
        library = await nursery.start(partial(self._agent.run, pumps=False))
        nursery.start_soon(self._sources(library).run_in_idle_time, log.lines)
        nursery.start_soon(self._lag.run)  # now: the start itself keeps the loop for a while

    def _keep_up(self, link: Link, settings: config.Link) -> None:
        """Watch a link's peer, and be registered with it, or it with us, once it is somewhere."""
        peers = self._endpoint.peers
        if settings.qualify_s is not None:
            now = self._clock()
            link.qualifier = peers.qualify(link.name, now, interval_s=settings.qualify_s)
        if (profile := parts.registration_profile(settings)) is not None:
            link.registration = peers.register(link.name, profile)
        if settings.registrant is not None:
            link.binding = peers.registrar.bindings[settings.registrant.username]

    def _sources(self, library: Driven) -> Sources:
        """Return what audio and signals wait for: the clock first, the link and SIP behind it."""
        slots = Sources({}, ((self._slot_alarm, self._on_slot),))
        audio = media_sources(self._relay).joined(slots).joined(self._socket.sources)
        return audio.joined(sip_sources(library))

    async def _end_calls(self) -> None:
        """End both legs of all calls: the phones' at once, the link's behind burst and tail."""
        self._switchboard.shut_down()
        self._peers.release(self._clock())
        self._agent.close()
        await self._link_is_quiet(LEAVE_WITHIN_S)
        self._switchboard.cut_short()
        await self._link_is_quiet(ACKNOWLEDGED_WITHIN_S)

    async def _link_is_quiet(self, within_s: float) -> None:
        """Wait until no call is left, and no registration waits to be released."""
        self._socket.drain()
        with trio.move_on_after(within_s):
            # Neither tells when it is idle, and need not.
            while self._endpoint.live_calls or self._peers.releasing:  # noqa: ASYNC110
                await trio.sleep(_STOP_LOOK_S)

    def _remains(self) -> dict[str, int]:
        """Count what should be nothing when all calls are over."""
        return {
            "calls_taken": self._switchboard.counters.taken,
            "calls_left": self._switchboard.live_calls + self._emergencies.live_calls,
            "link_calls_left": self._endpoint.live_calls,
            "call_numbers_left": self._endpoint.call_numbers_leaked,
            "media_left": self._relay.calls_open,
            "sip_legs_left": self._agent.active_calls,
        }

    # Wires

    def _take(self, leg: SipLeg) -> BridgedCall | EmergencyCall | None:
        if self._emergencies.is_emergency(leg.called):
            return self._emergencies.take(leg)
        return self._switchboard.take(leg)

    def _place(self, bridged: BridgedCall) -> Call:
        link = bridged.link
        if link.address is None:
            raise LocalProtocolError("the peer has no address yet")
        if self._challenges.failure is not None:
            raise LocalProtocolError("challenges cannot be remembered")
        call = self._endpoint.place_call(link.profile, link.address, self._clock())
        self._started(call, link.name)
        return call

    def _started(self, call: Call, link: str) -> None:
        self._observer.started(call, link)
        self._garbage.call_begins()

    def _find_phone(self, number: str, link: str) -> tuple[Target, ...] | None:
        target = self._delivery.resolve(number, link)
        if isinstance(target, RegisteredPhone):
            uris = self._phones.targets(target.user) if self._phones else None
            return None if uris is None else tuple(map(Phone, uris))
        return None if target is None else (target,)

    def _call_target(self, target: Target, inbound: InboundCall, offer: MakeOffer) -> SipLeg:
        if isinstance(target, Phone):
            return self._call_phone(target.uri, inbound, offer)
        return self._call_trunk(target, inbound, offer)

    def _call_trunk(
        self, target: TrunkNumber, caller: _TrunkCaller, offer: MakeOffer, *, urgent: bool = False
    ) -> SipLeg:
        trunk = self._trunks[target.trunk]
        leg = self._agent.call_trunk(trunk, target.user, caller, offer, urgent=urgent)
        leg.on_ringing = caller.on_ringing
        return leg

    def _call_phone(
        self, uri: str, caller: InboundCall | Transfer, offer: MakeOffer, headers: Headers = ()
    ) -> SipLeg:
        host = self._agent.host_toward(uri)
        user = self._phones.owner(uri) if self._phones else ""
        local = offer(host, self._agent.srtp_toward(uri, user))
        believes = self._agent.believes(uri_place(uri)[0])
        who = presented(caller.caller, caller.link.name, uri_host(host), is_trusted=believes)
        leg = self._agent.call(uri, caller, local, who[0], headers + who[1], user=user)
        leg.on_ringing = caller.on_ringing
        return leg

    def _move_peer(self, name: str, address: Address) -> None:
        self._peers.move(name, address, self._clock())
        self._socket.drain()

    def _receive_voice(self, datagram: bytes, address: Address, now: float) -> bool:
        return self._relay.receive_link(datagram, address, now)

    def _handle_event(self, event: Event, now: float) -> None:
        match event:
            case IncomingCall(call=call, username=name) if name in self._link_of_user:
                self._started(call, self._link_of_user[name])
            case CallEnded(call=CalleeCall(username=str(name)), reason=EndReason.SECRETS_DIFFER):
                self._observer.refused(self._link_of_user[name])
        self._switchboard.handle_event(event, now)
        self._slot_alarm.set(self._switchboard.next_deadline())
        self._observer.handle_event(event)

    def _on_slot(self, now: float) -> None:
        self._switchboard.handle_deadlines(now)
        self._slot_alarm.set(self._switchboard.next_deadline())

    def _on_media_failure(self, media: CallMedia, error: Exception) -> None:
        _log.error("media of a call failed", exc_info=error)
        self._switchboard.fail(media)
        self._emergencies.fail(media)
