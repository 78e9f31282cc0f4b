"""pjsua2's one Endpoint: made, listening, pumped from trio's own thread, and destroyed.

Owns the settings under which PJSIP runs here (no thread, no sound, no media of its own, no message
in its log) and what drives it. It must not know calls. pjsua2 is a singleton of the
process, so a second Library while one is open is an error.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from select import EPOLLIN, epoll
from typing import ClassVar

import pjsua2 as pj
import structlog
import trio

from bridge.iax2.auth import Address
from bridge.sip.accounts import base_config, trunk_config
from bridge.sip.line_limit import LineLimit
from bridge.sip.messages import host_port
from bridge.sip.settings import ListenAddress, SipError, SipSettings, TrunkSettings

log = structlog.get_logger("sip")

RETRANSMISSION_DUE_MS = 1000
QUIET_POLL_S = 0.01
FRUITLESS_PAUSE_S = 0.01
LOG_INTERVAL_S = 0.1
SPARE_CALL_SLOTS = 64  # for calls that are over but for the phone's acknowledgement

_FIRST_ACCOUNT = 0
_MODULE_NAME = re.compile(r"[A-Za-z_]+")
_SYSTEM_ERRORS = range(120_000, 170_000)  # PJ_ERRNO_START_SYS: pjlib adds it to errno
_LEVELS = {0: "critical", 1: "error", 2: "warning", 3: "info"}
_TRANSPORTS = {
    ("udp", False): pj.PJSIP_TRANSPORT_UDP,
    ("udp", True): pj.PJSIP_TRANSPORT_UDP6,
    ("tcp", False): pj.PJSIP_TRANSPORT_TCP,
    ("tcp", True): pj.PJSIP_TRANSPORT_TCP6,
    ("tls", False): pj.PJSIP_TRANSPORT_TLS,
    ("tls", True): pj.PJSIP_TRANSPORT_TLS6,
}
# What pjsua2 must know to let an offer pass; which codecs we speak is sdp's decision.
_NEGOTIABLE = (
    ("PCMU", 0, 8000, 1),
    ("GSM", 3, 8000, 1),
    ("PCMA", 8, 8000, 1),
    ("G722", 9, 16000, 1),
    ("G729", 18, 8000, 1),
    ("iLBC", 97, 8000, 1),
    ("opus", 98, 48000, 2),
    ("speex", 99, 8000, 1),
    ("speex", 100, 16000, 1),
    ("G726-32", 102, 8000, 1),
    ("L16", 11, 44100, 1),
)


class _LogWriter(pj.LogWriter):  # type: ignore[misc]  # pjsua2 carries no types
    """Forwards severity and module of what PJSIP says; its text may hold whole messages."""

    def __init__(self) -> None:
        super().__init__()
        self._lines = LineLimit(LOG_INTERVAL_S)

    def write(self, entry: pj.LogEntry) -> None:
        """Called by PJSIP for each of its lines, which a stranger's nonsense can cause."""
        reports = self._lines.take(trio.current_time())
        if not reports:
            return
        found = _MODULE_NAME.search(entry.msg[:32])
        module = found[0] if found else "unknown"
        getattr(log, _LEVELS.get(entry.level, "debug"))(
            "pjsip reported", module=module, reports=reports
        )


class _Endpoint(pj.Endpoint):  # type: ignore[misc]  # pjsua2 carries no types
    """Leaves every call that comes in to the one account that is no trunk's.

    By itself PJSIP would compare the names that the caller wrote, and could then prove a trunk's
    password to a stranger.
    """

    def onSelectAccount(self, prm: pj.OnSelectAccountParam) -> None:  # noqa: N802
        """Choose the account of a request outside a dialog."""
        prm.accountIndex = _FIRST_ACCOUNT


class Library:
    """The open library; `endpoint` and `account` are pjsua2's own objects.

    It is driven by handle_readable() while fileno() is readable, and by handle_due() at the time
    that on_schedule was last told; pump() does so, where there is nothing better.

    Raises:
        SipError: the library is open already, or an address cannot be listened on.
    """

    _is_open: ClassVar[bool] = False

    def __init__(self, settings: SipSettings, listen: Sequence[ListenAddress]) -> None:
        most = pj.BuildLimits.get().calls - SPARE_CALL_SLOTS
        if settings.max_calls > most:
            raise SipError(f"at most {most} calls are possible with this build of pjsua2")
        if Library._is_open:  # a second Endpoint would abort the process
            raise SipError("pjsua2 is in use already: one SIP agent for each process")
        self._gate = epoll()
        before = _epoll_descriptors()
        self.on_schedule: Callable[[float], object] = lambda _deadline: None
        self._paused_until = math.inf
        self._clock = trio.lowlevel.current_clock().current_time
        self.endpoint = _Endpoint() if settings.trunks else pj.Endpoint()
        Library._is_open = True
        try:
            self.endpoint.libCreate()
            (self._epoll,) = _epoll_descriptors() - before
            self._gate.register(self._epoll, EPOLLIN)
            self._writer = _LogWriter()
            self.endpoint.libInit(_endpoint_config(settings, self._writer))
            pj.CallCallbacks.spare()
            self._use_no_media()
            self._uses_ipv6 = any(address.is_ipv6 for address in listen)
            self._tls = settings.tls
            self._session_s = (settings.session_expires_s, settings.min_se_s)
            self.listening = tuple(self._listen(address) for address in listen)
            self.endpoint.libStart()
            self.account = pj.Account()
        except BaseException:
            self.destroy()
            raise

    def _use_no_media(self) -> None:
        self.endpoint.audDevManager().setNoDev()
        for codec in _NEGOTIABLE:
            pj.DummyCodecs.add(*codec)
        pj.DummyCodecs.install()

    def _listen(self, address: ListenAddress) -> str:
        """Open one transport; the url with the port that the kernel gave."""
        config = pj.TransportConfig()
        config.port = address.port
        if not address.is_wildcard:
            # Of UDP, a bound address is the Contact's; else that is the one that a phone reaches.
            config.boundAddress = address.host
        if address.transport == "tls":
            self._certify(config.tlsConfig, address)
        kind = _TRANSPORTS[address.transport, address.is_ipv6]
        try:
            transport = self.endpoint.transportCreate(kind, config)
        except pj.Error as error:
            raise SipError(f"cannot listen on {address.url}: {explain(error.status)}") from None
        _, port = host_port(self.endpoint.transportGetInfo(transport).localName)
        return f"{address.url.rpartition(':')[0]}:{port}"

    def _certify(self, config: pj.TlsConfig, address: ListenAddress) -> None:
        """TLS 1.2 at least, and a certificate of the client where we can judge one."""
        if self._tls is None:
            raise SipError(f"{address.url}: TLS needs a certificate and a key")
        config.certFile = str(self._tls.certificate)
        config.privKeyFile = str(self._tls.key)
        config.proto = pj.PJ_SSL_SOCK_PROTO_TLS1_2 | pj.PJ_SSL_SOCK_PROTO_TLS1_3
        if self._tls.client_ca is not None:
            config.CaListFile = str(self._tls.client_ca)
            config.verifyClient = config.requireClientCert = True

    def use_account(self, account: pj.Account) -> None:
        """Let an Account subclass take the calls: incoming ones go to its onIncomingCall."""
        config = base_config(self._session_s, uses_ipv6=self._uses_ipv6)
        try:
            account.create(config, True)  # noqa: FBT003  # pjsua2 takes no keyword here
        except pj.Error as error:
            raise SipError(f"pjsua2 takes no calls: {explain(error.status)}") from None
        self.account = account

    def use_trunk(self, account: pj.Account, trunk: TrunkSettings, address: Address) -> None:
        """Let an account stand for a trunk that is at an address, or has moved there.

        It does not register by itself.

        Raises:
            SipError: pjsua2 cannot use it so.
        """
        base = base_config(self._session_s, uses_ipv6=self._uses_ipv6)
        config = trunk_config(base, trunk, address)
        try:
            if account.isValid():
                account.modify(config)
            else:
                account.create(config)
        except pj.Error as error:
            raise SipError(f"trunk {trunk.name}: {explain(error.status)}") from None

    @trio.lowlevel.enable_ki_protection
    async def pump(self) -> None:
        """Handle PJSIP's packets and timers until cancelled, where nobody else does.

        KeyboardInterrupt would otherwise be raised within a callback and be lost there.
        """
        self.on_schedule(math.inf)  # whoever did so is no longer needed
        while True:
            with trio.CancelScope() as wait:
                self.on_schedule = partial(setattr, wait, "deadline")
                self.reschedule()
                await trio.lowlevel.wait_readable(self.fileno())
            handle = self.handle_due if wait.cancelled_caught else self.handle_readable
            handle(trio.current_time())

    def fileno(self) -> int:
        """What is readable while PJSIP has packets to handle."""
        return self._gate.fileno()

    def handle_readable(self, now: float) -> None:
        """Handle a bounded number of packets, and the timers that are due.

        pjlib's descriptor says that there is a packet for as long as pjlib keeps a TCP connection
        that its peer has reset, up to 32 s after a call, though there is nothing to read: so it is
        not looked at for a while after a fruitless pass. Unless it has stopped saying so: then a
        timer came at the same time, and its pass has handled the packet.
        """
        if self.endpoint.libHandleEvents(0) == 0 and self._gate.poll(0):
            self._gate.modify(self._epoll, 0)
            self._paused_until = now + FRUITLESS_PAUSE_S
        self.reschedule()

    def handle_due(self, now: float) -> None:
        """Handle the timers that are due, as on_schedule was told."""
        if self._paused_until <= now:
            self._gate.modify(self._epoll, EPOLLIN)
            self._paused_until = math.inf
        self.endpoint.libHandleEvents(0)
        self.reschedule()

    def reschedule(self) -> None:
        """Note that PJSIP may have gained an earlier timer: after each call into it."""
        due_ms = pj.SipModule.msecToNextTimer()
        due_at = self._clock() + due_ms / 1000 if due_ms >= 0 else math.inf
        self.on_schedule(min(due_at, self._paused_until))

    async def quiet(self) -> None:
        """Wait until the phones have acknowledged what was sent to them, as far as can be seen.

        A message that waits for its answer shows as a retransmission due within a second.
        """
        # pjsip signals nothing here, so there is no event to wait for.
        while 0 <= pj.SipModule.msecToNextTimer() <= RETRANSMISSION_DUE_MS:  # noqa: ASYNC110
            await trio.sleep(QUIET_POLL_S)

    def destroy(self) -> None:
        """Close everything. Live calls are dropped without a message.

        Account and endpoint go with their last references, which must be these. An account that
        ended later would take along the one that has its number by then.
        """
        self.account = None
        with suppress(pj.Error):
            self.endpoint.libDestroy(pj.PJSUA_DESTROY_NO_NETWORK)
        del self.endpoint
        self._gate.close()
        Library._is_open = False


def explain(status: int) -> str:
    """What a status of PJSIP means, without what it was about."""
    if status in _SYSTEM_ERRORS:
        return os.strerror(status - _SYSTEM_ERRORS.start)
    return f"pjsip error {status}"


def _epoll_descriptors() -> set[int]:
    """The epoll descriptors of this process; PJSIP does not tell its own."""
    found = set()
    for entry in Path("/proc/self/fd").iterdir():
        with suppress(OSError):  # the descriptor of this very listing is gone already
            if str(entry.readlink()) == "anon_inode:[eventpoll]":
                found.add(int(entry.name))
    return found


def _endpoint_config(settings: SipSettings, writer: pj.LogWriter) -> pj.EpConfig:
    config = pj.EpConfig()
    agent = config.uaConfig
    agent.threadCnt = 0
    agent.mainThreadOnly = True
    agent.maxCalls = settings.max_calls + SPARE_CALL_SLOTS
    agent.userAgent = settings.user_agent
    agent.natTypeInSdp = 0
    for nameserver in settings.nameservers:
        agent.nameserver.append(nameserver)
    media = config.medConfig
    media.hasIoqueue = False
    media.threadCnt = 0
    media.clockRate = 8000
    logs = config.logConfig
    logs.msgLogging = 0
    logs.level = settings.library_log_level
    logs.consoleLevel = 0
    logs.decor = pj.PJ_LOG_HAS_SENDER
    logs.writer = writer
    return config
