"""A small scripted SIP phone over UDP: calls, is called, and keeps a record of all that it saw.

It is the tests' own on purpose: what proves the bridge shares no code with it. One socket for
signalling, one PhoneAudio for each call; everything runs in the nursery of `open_phone`.

    async with open_phone("127.0.0.1") as phone:
        call = await phone.call(("127.0.0.1", 5060), "95551234")
        await call.answered(10)
"""

import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import trio

from tests.lab import LabError
from tests.lab.digest_client import authorization
from tests.lab.nursery import open_lab_nursery
from tests.lab.phone_audio import PhoneAudio
from tests.lab.phone_call import PCMA, PCMU, Address, PhoneCall, new_token
from tests.lab.sip_message import SipMessage, place_of

REGISTERED_WITHIN_S = 5.0


class SipPhone:
    """The signalling socket and the calls behind it; made by `open_phone`.

    Attributes:
        incoming: Calls that the phone receives; they ring when the test says so.
        strays: Messages that belong to no call.
    """

    def __init__(self, raw: socket.socket, nursery: trio.Nursery) -> None:
        self.strays: list[SipMessage] = []
        self._incoming, self.incoming = trio.open_memory_channel[PhoneCall](100)
        self._raw, self._nursery = raw, nursery
        self._socket = trio.socket.from_stdlib_socket(raw)
        self._calls: dict[str, PhoneCall] = {}

    @property
    def address(self) -> Address:
        """Where the phone listens for SIP."""
        host, port = self._socket.getsockname()[:2]
        return host, port

    async def call(
        self,
        proxy: Address,
        number: str,
        caller: str = "lab",
        display: str = "",
        formats: tuple[int, ...] = (PCMU, PCMA),
        *,
        extra: tuple[tuple[str, str], ...] = (),
    ) -> PhoneCall:
        """Places a call and returns at once.

        Args:
            proxy: Where the INVITE goes.
            number: The user part of the called URI.
            caller: The user part of our own.
            display: The caller's name.
            formats: The payload types to offer.
            extra: More headers of the INVITE.
        """
        audio = await PhoneAudio.open(self.address[0])
        call = PhoneCall(self, audio, proxy, f"{new_token()}@lab")
        call.formats = formats
        self._adopt(call)
        call.place(f"sip:{number}@{place_of(*proxy)}", caller, display, extra)
        return call

    async def register(self, registrar: Address, user: str, password: str) -> None:
        """Registers with a password, for as long as the registrar likes.

        Raises:
            LabError: It is not taken.
        """
        uri = f"sip:{registrar[0]}:{registrar[1]}"
        await self._register(registrar, uri, user, 1, ())
        challenge = await self._answer(1, 401)
        value = authorization(challenge.get("www-authenticate"), user, password, "REGISTER", uri)
        await self._register(registrar, uri, user, 2, (("authorization", value),))
        await self._answer(2, 200)

    async def _register(
        self, registrar: Address, uri: str, user: str, cseq: int, proof: tuple[tuple[str, str], ...]
    ) -> None:
        host, port = self.address
        headers = (
            ("via", f"SIP/2.0/UDP {place_of(host, port)};rport;branch=z9hG4bK{new_token()}"),
            ("max-forwards", "70"),
            ("from", f"<sip:{user}@{registrar[0]}>;tag=registers"),
            ("to", f"<sip:{user}@{registrar[0]}>"),
            ("call-id", f"registers-{port}@lab"),
            ("cseq", f"{cseq} REGISTER"),
            ("contact", f"<sip:{user}@{place_of(host, port)}>"),
            *proof,
        )
        self.send(SipMessage(f"REGISTER {uri} SIP/2.0", headers), registrar)

    async def _answer(self, cseq: int, status: int) -> SipMessage:
        with trio.move_on_after(REGISTERED_WITHIN_S):
            while True:
                for stray in self.strays:
                    if stray.status and stray.method == "REGISTER" and stray.cseq == cseq:
                        if stray.status != status:
                            raise LabError(f"REGISTER: {stray.start_line}")
                        return stray
                await trio.sleep(0.01)
        raise LabError("no answer to REGISTER")

    def spawn(self, work: Callable[[], Awaitable[None]]) -> None:
        """Runs a task in the phone's nursery."""
        self._nursery.start_soon(work)

    def send(self, message: SipMessage, remote: Address) -> None:
        """Sends a message; a full socket buffer is what a retransmission mends."""
        with suppress(BlockingIOError):
            self._raw.sendto(message.encode(), remote)

    async def run(self) -> None:
        """Receives until cancelled."""
        while True:
            datagram, source = await self._socket.recvfrom(65535)
            if b"SIP/2.0" in datagram:  # else RTCP for the phone whose RTP port is the one below
                await self._dispatch(SipMessage.parse(datagram), source[:2])

    async def _dispatch(self, message: SipMessage, source: Address) -> None:
        call = self._calls.get(message.get("call-id"))
        if message.status and call:
            await call.receive_response(message)
        elif message.method == "INVITE" and not message.status:
            await self._receive_invite(message, source, call)
        elif call:
            call.receive_request(message)
        else:
            self.strays.append(message)

    async def _receive_invite(
        self, message: SipMessage, source: Address, call: PhoneCall | None
    ) -> None:
        if call is not None and "tag=" not in message.get("to"):
            return  # a retransmission of one that we have
        if call is None:
            audio = await PhoneAudio.open(self.address[0])
            call = PhoneCall(self, audio, source, message.get("call-id"))
            self._adopt(call)
            self._incoming.send_nowait(call)
        call.receive_invite(message)

    def _adopt(self, call: PhoneCall) -> None:
        self._calls[call.call_id] = call
        self._nursery.start_soon(self._run_audio, call)

    async def _run_audio(self, call: PhoneCall) -> None:
        with call.scope:
            await call.audio.run()


@asynccontextmanager
async def open_phone(host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[SipPhone]:
    """A phone that listens until the block is left; calls still up are then dropped."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as raw:
        raw.settimeout(0)
        raw.bind((host, port))
        async with open_lab_nursery() as nursery:
            phone = SipPhone(raw, nursery)
            nursery.start_soon(phone.run)
            yield phone
