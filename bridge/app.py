"""The composition root: the one place where parts are wired and the nursery is opened."""

import gc
import random
import secrets
import signal
import socket
from collections.abc import AsyncIterator
from typing import Final

import structlog
import trio

from bridge import __version__, config
from bridge.bridging.call import BridgedCall
from bridge.bridging.link import Link
from bridge.bridging.services import CallServices
from bridge.bridging.switchboard import Switchboard
from bridge.bridging.tones import tones_of
from bridge.config import Configuration, Loaded
from bridge.dialing.plan import DialPlan, Route
from bridge.iax2 import Address, Call, CallProfile, ChallengeMemory, Endpoint, Event, Format
from bridge.iax2.errors import LocalProtocolError
from bridge.media.call_media import CallMedia
from bridge.media.ports import PortPool
from bridge.media.relay import Relay
from bridge.media.sources import Source
from bridge.net.alarm import Alarm
from bridge.net.link_socket import LinkSocket
from bridge.net.media_driver import run_media
from bridge.net.resolver import keep_resolved
from bridge.sip.agent import SipAgent
from bridge.sip.leg import SipLeg
from bridge.sip.settings import SipSettings

STOP_WITHIN_S: Final = 2.0
"""For calls to end properly; the whole stop stays below three seconds."""

_COLLECTION_THRESHOLDS: Final = (20_000, 20, 100)
_STOP_LOOK_S: Final = 0.05
_FORMATS: Final = {"ulaw": Format.ULAW, "alaw": Format.ALAW}
_log = structlog.get_logger(__name__)


def run(loaded: Loaded) -> int:
    """Run the bridge until SIGTERM or SIGINT; returns the exit code.

    Raises:
        BridgeError: it cannot start; the text says what to do.
    """
    trio.run(Service(loaded.configuration).run)
    return 0


class Service:
    """The bridge: every part, made from one configuration, and the wires between them."""

    def __init__(self, configuration: Configuration) -> None:
        self._configuration = configuration
        self._links = {
            name: _link(name, settings) for name, settings in configuration.links.items()
        }
        self._endpoint = Endpoint()
        bind = configuration.iax.bind
        self._socket = LinkSocket(
            (bind.host, bind.port), self._endpoint, self._receive_voice, self._handle_event
        )
        ports = configuration.sip.rtp_ports
        self._relay = Relay(
            self._socket.send_batch,
            PortPool(ports.first, ports.last, random.SystemRandom()),
            self._on_media_failure,
        )
        self._slot_alarm = Alarm()
        self._tones = tones_of(configuration.sip.tones)
        self._switchboard = Switchboard(
            plan=_dial_plan(configuration),
            links=self._links,
            open_media=self._relay.open,
            services=self._call_services(),
        )
        self._agent = SipAgent(_sip_settings(configuration), self._take)
        self._stop = trio.Event()

    def _call_services(self) -> CallServices:
        sip = self._configuration.sip
        return CallServices(
            clock=trio.current_time,
            uniform=secrets.SystemRandom().uniform,
            place=self._place,
            tone=self._tone,
            media_address=str(sip.media_address) if sip.media_address else None,
            rtp_timeout_s=sip.rtp_timeout_s,
            hold_timeout_s=sip.hold_timeout_s,
            drain=self._socket.drain,
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
        _log.info("stopped", **self._remains())

    async def _listen(self, signals: AsyncIterator[int]) -> None:
        """Stop at the first signal; who sends another one does not get us to stop faster."""
        async for number in signals:
            _log.info("stopping", signal=signal.Signals(number).name)
            self._stop.set()

    async def _serve(self) -> None:
        async with trio.open_nursery() as nursery:
            await self._start(nursery)
            _spare_the_collector()
            _log.info(
                "ready",
                version=__version__,
                site=self._configuration.site,
                sip=[str(url) for url in self._configuration.sip.listen],
                iax2=str(self._configuration.iax.bind),
                links=list(self._links),
            )
            await self._stop.wait()
            await self._end_calls()
            nursery.cancel_scope.cancel()

    async def _start(self, nursery: trio.Nursery) -> None:
        family = socket.AF_INET6 if ":" in self._configuration.iax.bind.host else socket.AF_INET
        nursery.start_soon(self._socket.run)
        nursery.start_soon(self._slot_alarm.run, self._on_slot)
        await nursery.start(run_media, self._relay)
        for name, settings in self._configuration.links.items():
            peer = settings.peer
            nursery.start_soon(
                keep_resolved, peer.host, peer.port, family, self._links[name].move_to, name
            )
        await nursery.start(self._agent.run)

    async def _end_calls(self) -> None:
        """End both legs of all calls; both sides have the same while to acknowledge it."""
        self._switchboard.shut_down()
        self._socket.drain()
        self._agent.close()
        with trio.move_on_after(STOP_WITHIN_S):
            while self._endpoint.live_calls:  # noqa: ASYNC110 - it need not tell when it is idle
                await trio.sleep(_STOP_LOOK_S)

    def _remains(self) -> dict[str, int]:
        """Count what should be nothing when all calls are over."""
        return {
            "calls_taken": self._switchboard.counters.taken,
            "calls_left": self._switchboard.live_calls,
            "link_calls_left": self._endpoint.live_calls,
            "call_numbers_left": self._endpoint.call_numbers_leaked,
            "media_left": self._relay.calls_open,
            "sip_legs_left": self._agent.active_calls,
        }

    # Wires

    def _take(self, leg: SipLeg) -> BridgedCall | None:
        return self._switchboard.take(leg)

    def _place(self, bridged: BridgedCall) -> Call:
        link = bridged.link
        if link.address is None:
            raise LocalProtocolError("the peer has no address yet")
        return self._endpoint.place_call(link.profile, link.address, trio.current_time())

    def _receive_voice(self, datagram: bytes, address: Address, now: float) -> bool:
        return self._relay.receive_link(datagram, address, now)

    def _handle_event(self, event: Event, now: float) -> None:
        self._switchboard.handle_event(event, now)
        self._slot_alarm.set(self._switchboard.next_deadline())

    def _on_slot(self, now: float) -> None:
        self._switchboard.handle_deadlines(now)
        self._slot_alarm.set(self._switchboard.next_deadline())

    def _tone(self, subclass: int, media: CallMedia) -> Source | None:
        return None if media.format is None else self._tones(subclass, media.format)

    def _on_media_failure(self, media: CallMedia, error: Exception) -> None:
        _log.error("media of a call failed", exc_info=error)
        self._switchboard.fail(media)


def _spare_the_collector() -> None:
    """Keep cyclic garbage collection short and rare: each full one would stop all audio.

    What stands after the start stays for good, and calls leave few cycles behind.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_COLLECTION_THRESHOLDS)


def _link(name: str, settings: config.Link) -> Link:
    formats = tuple(_FORMATS[codec] for codec in settings.codecs)
    profile = CallProfile(
        username=settings.username,
        secret=settings.secret.reveal().encode(),
        called_number=settings.extension,
        formats=formats,
        challenges=ChallengeMemory(secrets.token_bytes),
        setup_timeout_s=settings.setup_timeout_s,
    )
    return Link(
        name,
        profile,
        settings.dialing.envelope,
        answer_immediately=settings.answer == "immediately",
    )


def _dial_plan(configuration: Configuration) -> DialPlan:
    routes = [Route(entry.match, entry.link, entry.template) for entry in configuration.dialplan]
    limits = {name: link.dialing.limits for name, link in configuration.links.items()}
    return DialPlan(tuple(routes), limits)


def _sip_settings(configuration: Configuration) -> SipSettings:
    sip = configuration.sip
    return SipSettings(listen=tuple(str(url) for url in sip.listen), allow=sip.allow)
