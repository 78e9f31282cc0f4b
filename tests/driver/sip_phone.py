"""A phone of the agent tests: one socket and the messages that a test dictates, in both roles.

It keeps no rules: what it sends when is the test's business, also when that is wrong.
"""

import itertools
import re
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from ipaddress import ip_network

import trio

from bridge.sip.admission import Admission
from bridge.sip.agent import OnIncoming, SipAgent
from bridge.sip.leg import SipLeg
from bridge.sip.messages import host_port
from bridge.sip.refer import Refer, ReferAnswer
from bridge.sip.sdes import Srtp
from bridge.sip.sdp import AudioDescription, LocalMedia
from bridge.sip.settings import SipSettings, TlsFiles
from tests.lab.sip_message import SipMessage, uri_of

WAIT_S = 3
BRIDGE = "<sip:bridge@bridge.invalid>"
CALLED, CALLER = "9555817263", "4930987654"
LOCAL = LocalMedia("127.0.0.1", 20000, ("PCMU", "PCMA"))
PHONE_SDP = (
    "v=0\r\no=- 1 {version} IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 {host}\r\nt=0 0\r\n"
    "m=audio 4000 RTP/AVP 8 0 101\r\na=rtpmap:101 telephone-event/8000\r\na={direction}\r\n"
)
_numbers = itertools.count(1)


def phone_sdp(direction: str = "sendrecv", host: str = "127.0.0.1", version: int = 1) -> str:
    """The phone's audio: PCMA before PCMU, with events."""
    return PHONE_SDP.format(version=version, host=host, direction=direction)


@dataclass
class Recorder:
    """A leg handler that gives `local` and keeps what it was told."""

    local: LocalMedia = LOCAL
    remotes: list[AudioDescription | None] = field(default_factory=list)
    digits: list[str] = field(default_factory=list)
    refers: list[Refer] = field(default_factory=list)
    refer_answer: ReferAnswer = field(default_factory=lambda: ReferAnswer(603))
    ends: list[tuple[int, str, int | None]] = field(default_factory=list)
    answered: trio.Event = field(default_factory=trio.Event)
    ended: trio.Event = field(default_factory=trio.Event)

    def on_media(self, leg: SipLeg, remote: AudioDescription | None) -> LocalMedia:  # noqa: ARG002
        self.remotes.append(remote)
        return self.local

    def on_answered(self, leg: SipLeg) -> None:  # noqa: ARG002
        self.answered.set()

    def on_digit(self, leg: SipLeg, digit: str) -> None:  # noqa: ARG002
        self.digits.append(digit)

    def on_refer(self, leg: SipLeg, refer: Refer) -> ReferAnswer:  # noqa: ARG002
        self.refers.append(refer)
        return self.refer_answer

    def on_ended(self, leg: SipLeg, status: int, reason: str, q850: int | None) -> None:  # noqa: ARG002
        self.ends.append((status, reason, q850))
        self.ended.set()


@dataclass
class Desk:
    """Takes incoming legs and gives each a Recorder; `legs` in order of arrival."""

    legs: list[SipLeg] = field(default_factory=list)
    handler: Recorder = field(default_factory=Recorder)

    def __call__(self, leg: SipLeg) -> Recorder:
        self.legs.append(leg)
        return self.handler

    @property
    def leg(self) -> SipLeg:
        """The one leg that came."""
        (leg,) = self.legs
        return leg


@asynccontextmanager
async def running(
    on_incoming: OnIncoming,
    *,
    listen: tuple[str, ...] = ("udp://127.0.0.1:0",),
    allow: tuple[str, ...] = ("127.0.0.0/8", "::1"),
    admission: Admission | None = None,
    max_calls: int = 8,
    srtp: Srtp | None = Srtp.OFF,
    srtp_of: Mapping[str, Srtp] | None = None,
    is_overloaded: Callable[[], bool] = lambda: False,
    urgent: str = "",
    session_s: tuple[int, int] = (1800, 90),
    tls: TlsFiles | None = None,
) -> AsyncIterator[SipAgent]:
    """An agent for the length of a test, which then has to end within the time it promises."""
    networks = tuple(map(ip_network, allow))
    settings = SipSettings(
        listen,
        networks,
        max_calls=max_calls,
        srtp=srtp,
        srtp_of=srtp_of or {},
        session_expires_s=session_s[0],
        min_se_s=session_s[1],
        tls=tls,
    )
    agent = SipAgent(
        settings, on_incoming, admission, is_overloaded, lambda number: number == urgent
    )
    async with trio.open_nursery() as nursery:
        await nursery.start(agent.run)
        yield agent
        agent.close()
    assert agent.active_calls == 0


@dataclass
class Connection:
    """A stream with what Phone needs of a datagram socket: each datagram is a message."""

    stream: trio.SocketStream | trio.SSLStream[trio.SocketStream]
    _received: bytes = b""

    def getsockname(self) -> tuple[str, int]:
        """Our end's address."""
        stream = self.stream
        plain = stream.transport_stream if isinstance(stream, trio.SSLStream) else stream
        host, port = plain.socket.getsockname()[:2]
        return host, port

    async def sendto(self, message: bytes, _address: tuple[str, int]) -> None:
        """Send to the peer that there is."""
        await self.stream.send_all(message)

    async def recvfrom(self, size: int) -> tuple[bytes, tuple[str, int]]:
        """The next message by its Content-Length, and no address that would matter."""
        while not (found := re.match(rb"(?s).*?\r\n\r\n", self._received)) or len(
            self._received
        ) < (end := found.end() + _content_length(found[0])):
            more = await self.stream.receive_some(size)
            if not more:
                raise trio.BrokenResourceError
            self._received += more
        message, self._received = self._received[:end], self._received[end:]
        return message, ("", 0)


def _content_length(head: bytes) -> int:
    found = re.search(rb"(?mi)^content-length:\s*([0-9]+)", head)
    assert found is not None
    return int(found[1])


@dataclass
class Phone:
    """One dialog toward `agent`, begun by either side; requests count up by themselves."""

    socket: trio.socket.SocketType | Connection
    agent: tuple[str, int]
    call_id: str = field(default_factory=lambda: f"call-{next(_numbers)}")
    local_party: str = f"<sip:{CALLER}@phone.invalid>;tag=phone"
    remote_party: str = BRIDGE
    target: str = ""
    cseq: int = 0
    branch: str = ""
    transport: str = "UDP"
    contact: str = ""
    via_parameters: str = ";rport"

    @property
    def uri(self) -> str:
        """Where this phone can be called."""
        host, port = self.socket.getsockname()[:2]
        return f"sip:{CALLED}@{f'[{host}]' if ':' in host else host}:{port}"

    def begin_anew(self) -> None:
        """The next request belongs to no dialog."""
        self.call_id = f"call-{next(_numbers)}"
        self.remote_party = BRIDGE
        self.target = ""

    async def request(
        self,
        method: str,
        *,
        body: str = "",
        headers: tuple[tuple[str, str], ...] = (),
        uri: str = "",
        same_transaction: bool = False,
    ) -> SipMessage:
        """Send a request of this dialog; CANCEL and ACK to a failure share the INVITE's branch."""
        if method != "ACK" and not same_transaction:
            self.cseq += 1
        if not same_transaction:
            self.branch = f"z9hG4bK-{next(_numbers)}"
        host, port = self.socket.getsockname()[:2]
        sent_by = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        via = f"SIP/2.0/{self.transport} {sent_by};branch={self.branch}{self.via_parameters}"
        fixed = (
            ("Via", via),
            ("From", self.local_party),
            ("To", self.remote_party),
            ("Call-ID", self.call_id),
            ("CSeq", f"{self.cseq} {method}"),
            ("Contact", f"<{self.contact or self.uri}>"),
            ("Max-Forwards", "70"),
        )
        agent_host = f"[{self.agent[0]}]" if ":" in self.agent[0] else self.agent[0]
        default = self.target or f"sip:{CALLED}@{agent_host}:{self.agent[1]}"
        message = SipMessage(f"{method} {uri or default} SIP/2.0", (*fixed, *headers), body)
        await self.socket.sendto(message.encode(), self.agent)
        return message

    async def receive(self) -> SipMessage:
        """The next message of the agent, of either kind."""
        with trio.fail_after(WAIT_S):
            datagram, sender = await self.socket.recvfrom(65536)
        self.agent = sender if sender[1] else self.agent
        return SipMessage.parse(datagram)

    async def response(self, status: int, method: str = "INVITE") -> SipMessage:
        """The next response, 100 passed over; it must have this status."""
        message = await self.receive()
        while message.status == 100:
            message = await self.receive()
        assert (message.status, message.method) == (status, method), message.start_line
        self.remote_party = message.get("to")
        if contact := message.get("contact"):
            self.target = uri_of(contact)
        return message

    async def requested(self, method: str) -> SipMessage:
        """The next message, which must be this request."""
        message = await self.receive()
        assert message.start_line.partition(" ")[0] == method
        return message

    async def reply(
        self,
        request: SipMessage,
        status: int,
        *,
        body: str = "",
        headers: tuple[tuple[str, str], ...] = (),
    ) -> None:
        """Answer a request of the agent; from then on it is the dialog's other side."""
        if "tag=" not in request.get("to"):
            self.local_party = f"{request.get('to')};tag=phone"
        self.remote_party = request.get("from")
        self.call_id = request.get("call-id")
        self.target = uri_of(request.get("contact")) or self.target
        echoed = (*request.all("via"), *request.all("from"), ("to", self.local_party))
        named = (*echoed, *request.all("call-id"), *request.all("cseq"))
        contact = ("contact", f"<{self.contact or self.uri}>")
        message = SipMessage(f"SIP/2.0 {status} -", (*named, contact, *headers), body)
        await self.socket.sendto(message.encode(), self.agent)

    async def call(self, body: str = "") -> SipMessage:
        """INVITE up to the ACK of the 200, which the test's leg has to have sent at once."""
        await self.request("INVITE", body=body or phone_sdp())
        accepted = await self.response(200)
        await self.request("ACK")
        return accepted

    async def hang_up(self) -> None:
        """BYE and its answer."""
        await self.request("BYE")
        await self.response(200, "BYE")


@asynccontextmanager
async def phone_of(
    agent: SipAgent, host: str = "127.0.0.1", *, url: int = 0
) -> AsyncIterator[Phone]:
    """A phone at `host` toward the agent's url of that index."""
    family = trio.socket.AF_INET6 if ":" in host else trio.socket.AF_INET
    with trio.socket.socket(family, trio.socket.SOCK_DGRAM) as socket:
        await socket.bind((host, 0))
        yield Phone(socket, host_port(agent.listening[url].partition("//")[2]))


@asynccontextmanager
async def phone_connected(
    agent: SipAgent, files: TlsFiles, host: str = "127.0.0.1"
) -> AsyncIterator[Phone]:
    """A phone that connects to the agent's second url, TCP or TLS, and listens nowhere."""
    place = agent.listening[1]
    async with await connected(place, files, host) as stream:
        agent_at = host_port(place.partition("//")[2])
        yield Phone(Connection(stream), agent_at, transport=place.partition(":")[0].upper())


async def connected(
    url: str, files: TlsFiles, host: str = "127.0.0.1"
) -> trio.SocketStream | trio.SSLStream[trio.SocketStream]:
    """A connection to an agent's url at an address, with the handshake done."""
    port = int(url.rpartition(":")[2])
    plain = await trio.open_tcp_stream(host, port)
    if not url.startswith("tls"):
        return plain
    context = ssl.create_default_context(cafile=str(files.certificate))
    stream = trio.SSLStream(plain, context, server_hostname="127.0.0.1", https_compatible=True)
    with trio.fail_after(WAIT_S):
        await stream.do_handshake()
    return stream


class Answering(Desk):
    """Answers each call at once."""

    def __call__(self, leg: SipLeg) -> Recorder:
        leg.answer()
        return super().__call__(leg)
