"""One call of the lab's phone, placed or received: its dialog and what was seen in it.

It owns no socket for signalling; messages leave through the phone and are handed in by it.
"""

import itertools
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol
from urllib.parse import quote

import trio

from tests.lab import LabError
from tests.lab.digest_client import authorization
from tests.lab.phone_audio import PhoneAudio
from tests.lab.sip_message import Media, SipMessage, place_of, uri_of, user_of, write_sdp

T1_S = 0.5
RETRANSMISSIONS = 7
PCMU, PCMA = 0, 8
_ECHOED = ("via", "from", "to", "call-id", "cseq")

Address = tuple[str, int]


class Signalling(Protocol):
    """What a call needs of its phone."""

    @property
    def address(self) -> Address:
        """Where the phone listens for SIP."""
        ...

    def send(self, message: SipMessage, remote: Address) -> None:
        """Sends a message."""

    def spawn(self, work: Callable[[], Awaitable[None]]) -> None:
        """Runs a task as long as the phone is open."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A response or an in-dialog request, with trio's time of its arrival."""

    at_s: float
    message: SipMessage = field(repr=False)


class PhoneCall:
    """One call, placed or received.

    Attributes:
        audio: Its RTP.
        invited_at_s: When the INVITE left or came.
        responses: All responses to our INVITE, retransmissions left out.
        requests: All requests inside the dialog.
        ended: Set by BYE from either side, by a failure response or by CANCEL.
        credentials: User and password, to answer a 401 with.
    """

    def __init__(self, phone: Signalling, audio: PhoneAudio, remote: Address, call_id: str) -> None:
        self.audio = audio
        self.invited_at_s = trio.current_time()
        self.responses: list[Seen] = []
        self.requests: list[Seen] = []
        self.ended = trio.Event()
        self.ended_at_s = 0.0
        self.ended_by_peer = False
        self.formats: tuple[int, ...] = (PCMU, PCMA)
        self.credentials: tuple[str, str] | None = None
        self.scope = trio.CancelScope()
        self._phone, self._remote, self.call_id = phone, remote, call_id
        self._local_party = self._remote_party = self._target = ""
        self._invite: SipMessage | None = None
        self._cseq = itertools.count(1)
        self._sdp_version = itertools.count(1)
        self._news = trio.Condition()
        self._awaited: dict[tuple[int, str], trio.MemorySendChannel[SipMessage]] = {}
        self._acknowledged = trio.Event()
        self._branch = ""

    @property
    def called_user(self) -> str:
        """Whom the peer called, of a call that we received."""
        return user_of(self._invite.start_line.split()[1]) if self._invite else ""

    @property
    def caller_user(self) -> str:
        """Who called us."""
        return user_of(self._remote_party)

    def header(self, name: str) -> str:
        """A header of the INVITE."""
        return self._invite.get(name) if self._invite else ""

    # -- what a test does with a call that it places

    async def status(self, at_least: int, within_s: float) -> SipMessage:
        """Waits for a response of at least a status.

        Raises:
            LabError: None came within that time.
        """
        with trio.move_on_after(within_s):
            while True:
                for seen in self.responses:
                    if seen.message.status >= at_least:
                        return seen.message
                async with self._news:
                    await self._news.wait()
        got = [seen.message.status for seen in self.responses]
        raise LabError(f"no response >= {at_least} within {within_s} s; got {got}")

    async def answered(self, within_s: float) -> SipMessage:
        """Waits for a 200.

        Raises:
            LabError: Another final response came, or none.
        """
        final = await self.status(200, within_s)
        if final.status >= 300:
            raise LabError(f"the call ended with {final.status} {final.reason}")
        return final

    def final_after_s(self) -> float:
        """How long after the INVITE its final response came."""
        final = next(seen for seen in self.responses if seen.message.status >= 200)
        return final.at_s - self.invited_at_s

    async def bye(self) -> None:
        """Hangs up, and waits for the 200."""
        if not self.ended.is_set():
            await self._transact("BYE")
            self._end()

    async def cancel(self) -> None:
        """Gives the call up before it is answered."""
        if self._invite is None:
            raise LabError("nothing to cancel")
        via, cseq = self._invite.get("via"), self._invite.cseq
        await self._transact("CANCEL", cseq=cseq, via=via)

    async def reinvite(self, direction: str) -> SipMessage:
        """Offers anew: "sendonly" or "inactive" holds, "sendrecv" resumes."""
        response = await self._transact("INVITE", self._sdp(direction))
        self._send_ack(response, response.cseq)
        if response.body:
            self.audio.remote = Media.parse(response.body)
        return response

    async def prack(self, provisional: SipMessage) -> SipMessage:
        """Acknowledges a reliable provisional response (RFC 3262)."""
        self._remote_party = provisional.get("to")
        self._target = uri_of(provisional.get("contact"))
        rack = f"{provisional.get('rseq')} {provisional.cseq} INVITE"
        return await self._transact("PRACK", extra=(("rack", rack),))

    async def refresh(self, *headers: tuple[str, str]) -> SipMessage:
        """Refreshes the session by an UPDATE without SDP (RFC 4028 section 7.4)."""
        return await self._transact("UPDATE", extra=headers)

    async def info(self, digit: str) -> SipMessage:
        """Sends a digit as SIP INFO, application/dtmf-relay."""
        kind = (("content-type", "application/dtmf-relay"),)
        return await self._transact("INFO", f"Signal={digit}\r\nDuration=160\r\n", extra=kind)

    async def refer(self, to: str, replaces: str = "") -> SipMessage:
        """Gives the call to another phone: by its URI, or with `replaces` of a call with it."""
        target = f"<{to}?Replaces={quote(replaces, safe='')}>" if replaces else f"<{to}>"
        return await self._transact("REFER", extra=(("refer-to", target),))

    def replaces(self) -> str:
        """This call as the other end of a transfer knows it (RFC 3891 section 3)."""
        parties = (self._local_party, self._remote_party)
        ours, theirs = (party.partition("tag=")[2] for party in parties)
        return f"{self.call_id};to-tag={theirs};from-tag={ours}"

    async def told(self, at_least: int, within_s: float = 3.0) -> list[int]:
        """Waits for a NOTIFY of at least a status; returns all statuses that came so.

        Raises:
            LabError: None came.
        """
        with trio.move_on_after(within_s):
            while True:
                notices = [s.message for s in self.requests if s.message.method == "NOTIFY"]
                statuses = [int(notice.body.split()[1]) for notice in notices]
                if any(status >= at_least for status in statuses):
                    return statuses
                await trio.sleep(0.01)
        raise LabError(f"no NOTIFY of at least {at_least} came; got {statuses}")

    # -- what a test does with a call that it receives

    def ring(self) -> None:
        """Sends 180."""
        self._respond("180 Ringing")

    def refuse(self, status_line: str = "486 Busy Here") -> None:
        """Sends a final failure response."""
        self._respond(status_line)
        self._end()

    async def answer(self) -> None:
        """Sends 200 until the ACK comes."""
        body = self._sdp("sendrecv")
        with trio.move_on_after(16 * T1_S):
            for delay_s in _backoff():
                self._respond("200 OK", body)
                with trio.move_on_after(delay_s):
                    await self._acknowledged.wait()
                    return
        raise LabError("no ACK for our 200")

    # -- what the phone's socket hands in

    def place(
        self, uri: str, caller: str, display: str, extra: tuple[tuple[str, str], ...] = ()
    ) -> None:
        """Sends the INVITE, with headers of the test's; retransmits it until a response comes."""
        host, port = self._phone.address
        name = f'"{display}" ' if display else ""
        self._local_party = f"{name}<sip:{caller}@{place_of(host, port)}>;tag={new_token()}"
        self._remote_party, self._target = f"<{uri}>", uri
        body = self._sdp("sendrecv")
        self._invite = self._request("INVITE", next(self._cseq), body, extra=extra)
        self._phone.spawn(partial(self._repeat_invite, self._invite))

    def receive_invite(self, message: SipMessage) -> None:
        """Takes an incoming INVITE, or a re-INVITE, which is answered at once."""
        first = self._invite is None
        self._invite = message
        self._remote_party, self._target = message.get("from"), uri_of(message.get("contact"))
        if message.body:
            self.audio.remote = Media.parse(message.body)
            self.formats = (_first_common(self.audio.remote.payload_types),)
        if first:
            self._local_party = f"{message.get('to')};tag={new_token()}"
            self._respond("100 Trying")
        else:
            self._respond("200 OK", self._sdp("sendrecv"))

    def receive_request(self, message: SipMessage) -> None:
        """Takes any other request inside the dialog."""
        self.requests.append(Seen(trio.current_time(), message))
        match message.method:
            case "ACK":
                self._acknowledged.set()
            case "BYE":
                self._phone.send(_response(message, "200 OK"), self._remote)
                self.ended_by_peer = True
                self._end()
            case "CANCEL":
                self._phone.send(_response(message, "200 OK"), self._remote)
                self._respond("487 Request Terminated")
                self.ended_by_peer = True
                self._end()
            case _:
                self._phone.send(_response(message, "200 OK"), self._remote)

    async def receive_response(self, message: SipMessage) -> None:
        """Takes a response to one of our requests."""
        key = (message.cseq, message.method)
        if key in self._awaited and message.status >= 200:
            self._awaited.pop(key).send_nowait(message)
        elif message.method == "INVITE":
            await self._receive_invite_response(message)

    async def _receive_invite_response(self, message: SipMessage) -> None:
        if message.status == 401 and self.credentials:
            self._send_ack(message, message.cseq)
            self._prove(message.get("www-authenticate"), *self.credentials)
            return
        if message.status >= 200:
            self._remote_party = message.get("to")
            self._target = uri_of(message.get("contact")) or self._target
            self._send_ack(message, message.cseq)
        if message.status in {seen.message.status for seen in self.responses}:
            return  # a retransmission, which the ACK above has just answered again
        if message.body:
            self.audio.remote = Media.parse(message.body)
        self.responses.append(Seen(trio.current_time(), message))
        if message.status >= 300:
            self._end()
        async with self._news:
            self._news.notify_all()

    # -- inside

    async def _repeat_invite(self, invite: SipMessage) -> None:
        for delay_s in _backoff():
            if self.responses or self.ended.is_set():
                return
            self._phone.send(invite, self._remote)
            await trio.sleep(delay_s)

    def _prove(self, challenge: str, user: str, password: str) -> None:
        self.credentials = None  # they serve once
        value = authorization(challenge, user, password, "INVITE", self._target)
        extra = (("authorization", value),)
        self._invite = self._request("INVITE", next(self._cseq), self._sdp("sendrecv"), extra=extra)
        self._phone.spawn(partial(self._repeat_invite, self._invite))

    async def _transact(
        self,
        method: str,
        body: str = "",
        *,
        cseq: int | None = None,
        via: str = "",
        extra: tuple[tuple[str, str], ...] = (),
    ) -> SipMessage:
        number = next(self._cseq) if cseq is None else cseq
        request = self._request(method, number, body, via, extra)
        outcome, waiting = trio.open_memory_channel[SipMessage](1)
        self._awaited[number, method] = outcome
        for delay_s in _backoff():
            self._phone.send(request, self._remote)
            with trio.move_on_after(delay_s):
                return await waiting.receive()
        raise LabError(f"no response to {method}")

    def _request(
        self,
        method: str,
        cseq: int,
        body: str = "",
        via: str = "",
        extra: tuple[tuple[str, str], ...] = (),
    ) -> SipMessage:
        host, port = self._phone.address
        headers = (
            ("via", via or f"SIP/2.0/UDP {place_of(host, port)};branch=z9hG4bK{new_token()};rport"),
            ("from", self._local_party),
            ("to", self._remote_party),
            ("call-id", self.call_id),
            ("cseq", f"{cseq} {method}"),
            ("contact", f"<sip:lab@{place_of(host, port)}>"),
            ("max-forwards", "70"),
            *extra,
        )
        return SipMessage(f"{method} {self._target} SIP/2.0", headers, body)

    def _send_ack(self, response: SipMessage, cseq: int) -> None:
        failed = response.status >= 300
        via = self._invite.get("via") if failed and self._invite else ""
        self._phone.send(self._request("ACK", cseq, via=via), self._remote)

    def _respond(self, status_line: str, body: str = "") -> None:
        if self._invite is None:
            raise LabError("no INVITE to respond to")
        host, port = self._phone.address
        message = _response(self._invite, status_line, self._local_party)
        contact = (("contact", f"<sip:lab@{place_of(host, port)}>"),)
        headers = message.headers + contact
        self._phone.send(SipMessage(message.start_line, headers, body), self._remote)

    def _sdp(self, direction: str) -> str:
        host, _ = self._phone.address
        version = next(self._sdp_version)
        return write_sdp(host, self.audio.port, self.formats, version, direction)

    def _end(self) -> None:
        if not self.ended.is_set():
            self.ended_at_s = trio.current_time()
            self.ended.set()
        self.scope.cancel()


def _response(request: SipMessage, status_line: str, to: str = "") -> SipMessage:
    copied = [pair for name in _ECHOED for pair in request.all(name)]
    headers = tuple((key, to if to and key == "to" else value) for key, value in copied)
    return SipMessage(f"SIP/2.0 {status_line}", headers)


def _first_common(offered: tuple[int, ...]) -> int:
    return next(number for number in offered if number in {PCMU, PCMA})


def _backoff() -> list[float]:
    return [T1_S * min(2**n, 8) for n in range(RETRANSMISSIONS)]


def new_token() -> str:
    """A text that no other call or branch has."""
    return f"{random.getrandbits(48):012x}"
