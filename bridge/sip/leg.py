"""One SIP call leg, whichever side began it: what its user may ask and what it is told.

Owns the state of a leg and its session descriptions. It must not know pjsua2: a CallControl sends
for it. Caller and called are secrets and show in no repr, log or error.

A leg's life is the table TRANSITIONS; the user's requests that come too late, because the phone was
faster, do nothing.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import replace
from enum import Enum, auto
from types import MappingProxyType
from typing import Protocol

from bridge.sip.admission import Headers
from bridge.sip.refer import Refer, ReferAnswer
from bridge.sip.sdes import SdesError, Srtp
from bridge.sip.sdp import AudioDescription, LocalMedia, SdpError, parse_sdp_untrusted
from bridge.sip.sdp_writing import write_sdp

NOT_ACCEPTABLE_HERE = 488
SERVER_ERROR = 500
_RINGING = 180
_PROGRESS = 183
_ACCEPTED = 200
_NO_SUCH_CALL = 481
_SESSION_ID_BITS = 62
_MAX_REASON_CHARACTERS = 64

MakeOffer = Callable[[str, Srtp], LocalMedia]
"""From our address, and whether audio is encrypted, to what our offer says."""


class LegState(Enum):
    """Where a leg stands; ENDING and ENDED take no more requests."""

    INVITED = auto()  # incoming, no final answer yet
    CALLING = auto()  # outgoing, no 2xx yet
    UP = auto()  # a 2xx was sent or came
    ENDING = auto()
    ENDED = auto()


class LegInput(Enum):
    """What moves a leg on."""

    ACCEPT = auto()  # we answer 200
    ACCEPTED = auto()  # the 2xx and its ACK are through
    END = auto()  # we refuse, cancel or hang up
    DISCONNECTED = auto()  # it is over


TRANSITIONS: Mapping[tuple[LegState, LegInput], LegState] = MappingProxyType(
    {
        (LegState.INVITED, LegInput.ACCEPT): LegState.UP,
        (LegState.INVITED, LegInput.END): LegState.ENDING,
        (LegState.INVITED, LegInput.DISCONNECTED): LegState.ENDED,
        (LegState.CALLING, LegInput.ACCEPTED): LegState.UP,
        (LegState.CALLING, LegInput.END): LegState.ENDING,
        (LegState.CALLING, LegInput.DISCONNECTED): LegState.ENDED,
        (LegState.UP, LegInput.ACCEPTED): LegState.UP,
        (LegState.UP, LegInput.END): LegState.ENDING,
        (LegState.UP, LegInput.DISCONNECTED): LegState.ENDED,
        (LegState.ENDING, LegInput.DISCONNECTED): LegState.ENDED,
    }
)


class CallControl(Protocol):
    """What a leg needs of the SIP stack."""

    def respond(self, status: int, reason: str, headers: Headers, sdp: str) -> bool:
        """Answer the INVITE; an empty `reason` is the usual one, an empty `sdp` leaves it.

        False when the stack could not.
        """

    def hang_up(self, headers: Headers) -> None:
        """Send CANCEL or BYE."""

    def notify(self, headers: Headers, body: str) -> None:
        """Send NOTIFY with a piece of SIP."""


class LegHandler(Protocol):
    """Who uses a leg. An exception out of these ends the leg with 500."""

    def on_media(self, leg: SipLeg, remote: AudioDescription | None) -> LocalMedia:
        """Each offer and answer. What is returned becomes ours, toward the same exchange.

        `remote` is the phone's offer (the first comes right after on_incoming), or the phone's
        answer to our offer (then what is returned is ignored), or None: the phone wants our offer.
        """

    def on_answered(self, leg: SipLeg) -> None:
        """The 2xx and its ACK are through."""

    def on_digit(self, leg: SipLeg, digit: str) -> None:
        """A digit came by SIP INFO."""

    def on_refer(self, leg: SipLeg, refer: Refer) -> ReferAnswer:
        """The phone wants to give its call to another phone."""

    def on_ended(self, leg: SipLeg, status: int, reason: str, q850: int | None) -> None:
        """Once, last, however it ended; also within the leg's own end().

        `status` is 487 for a caller who gave up and 200 after a BYE; `q850` is the phone's cause.
        """


class SipLeg:
    """One call. `caller` and `called` are user parts, unescaped; addresses are (host, port).

    `source` is where the phone is, `local_host` our address that it reached, or that we reach it
    from, in numbers. `offer` is the phone's first offer, None when the phone leaves the offer to
    us. `user` is the phone that has proved itself, empty for one that was let in by its address;
    `transport` is udp, tcp or tls. All of it is set before on_incoming sees the leg and stays.
    `srtp` says whether its audio is encrypted, `call_id` is the Call-ID. `on_ringing` is called
    with each 180 of a phone that we call.
    """

    __slots__ = (
        "_control",
        "_deferred",
        "_handler",
        "_local",
        "_media_sent",
        "_prepared",
        "_remote",
        "_session_id",
        "_we_offered",
        "call_id",
        "called",
        "caller",
        "id",
        "local_host",
        "offer",
        "on_ringing",
        "source",
        "srtp",
        "state",
        "transport",
        "user",
    )

    def __init__(
        self,
        leg_id: int,
        control: CallControl,
        *,
        state: LegState,
        caller: str = "",
        called: str = "",
        source: tuple[str, int] = ("", 0),
        local_host: str = "",
        local: LocalMedia | None = None,
        srtp: Srtp = Srtp.OFF,
        user: str = "",
        transport: str = "",
        call_id: str = "",
    ) -> None:
        self.id = leg_id
        self.state = state
        self.caller = caller
        self.called = called
        self.source = source
        self.local_host = local_host
        self.srtp = srtp
        self.user = user
        self.transport = transport
        self.call_id = call_id
        self.offer: AudioDescription | None = None
        self.on_ringing: Callable[[SipLeg], None] = _ignore
        self._control: CallControl | None = control
        self._handler: LegHandler | None = None
        self._deferred: list[tuple[int, LocalMedia | None]] = []
        self._local = local
        self._remote: AudioDescription | None = None
        self._prepared = ""
        self._we_offered = False
        self._media_sent = False
        self._session_id = secrets.randbits(_SESSION_ID_BITS)

    def __repr__(self) -> str:
        return f"<SipLeg {self.id} {self.state.name}>"

    @property
    def is_over(self) -> bool:
        """Whether nothing can be asked of it any more."""
        return self.state in (LegState.ENDING, LegState.ENDED)

    # What the user of the leg may ask.

    def ringing(self) -> None:
        """Send 180. Incoming, before the final answer."""
        if self.state is LegState.INVITED:
            self._respond(_RINGING)

    def progress(self, local: LocalMedia | None = None) -> None:
        """Send 183 with SDP, from which on the phone hears us. Incoming, before the final answer.

        `local` replaces what on_media gave, as long as no SDP was sent.
        """
        self._respond_with_media(_PROGRESS, local)

    def answer(self, local: LocalMedia | None = None) -> None:
        """Send 200. `local` as in progress()."""
        self._respond_with_media(_ACCEPTED, local)

    def end(
        self,
        status: int,
        reason: str | None = None,
        *,
        retry_after_s: int | None = None,
        q850: int | None = None,
    ) -> None:
        """Refuse with `status`, cancel or hang up, as the state asks.

        `status` (400 to 699), `reason` and `retry_after_s` show only in a refusal, the Q.850 cause
        in each case.
        """
        if self.is_over or self._control is None:
            return
        refuses = self.state is LegState.INVITED
        self._move(LegInput.END)
        headers = () if q850 is None else (("Reason", f"Q.850;cause={q850}"),)
        if not refuses:
            self._control.hang_up(headers)
            return
        if retry_after_s is not None:
            headers = (*headers, ("Retry-After", str(retry_after_s)))
        self._control.respond(status, _one_line(reason or ""), headers, "")

    def notify(self, headers: Headers, body: str) -> None:
        """Send NOTIFY within the call, as long as it is up."""
        if self.state is LegState.UP and self._control is not None:
            self._control.notify(headers, body)

    def hand_to(self, handler: LegHandler | None) -> None:
        """Let somebody else be told from now on; None: nobody."""
        self._handler = handler

    # What the stack tells.

    def begin(self, handler: LegHandler) -> None:
        """Take the handler; an incoming leg with an offer asks it for media at once.

        Raises:
            SdpError: the offer has none of our codecs.
        """
        self._handler = handler
        if self.offer is not None and not self.is_over:
            self._answer_offer(self.offer)
        while self._deferred:
            self._respond_with_media(*self._deferred.pop(0))

    def offered(self, text: str) -> bool:
        """The phone offers anew in its call; False when that must be refused."""
        if self._handler is None:
            return False
        try:
            self._answer_offer(parse_sdp_untrusted(text, self.srtp))
        except SdpError:
            return False
        return True

    def session_description(self, *, is_answer: bool) -> str:
        """Our SDP, as it is due now; empty: what the stack has by itself, since it is over."""
        if is_answer or self.is_over:
            return self._prepared
        if self._handler is not None and (self._local is None or self.state is LegState.UP):
            self._local = self._handler.on_media(self, None)
        if self._local is None:
            return ""
        self._we_offered = True
        return write_sdp(None, self._local, self._session_id, 1)

    def pressed(self, digit: str) -> None:
        """A digit came by INFO."""
        if self._handler is not None and not self.is_over:
            self._handler.on_digit(self, digit)

    def referred(self, refer: Refer) -> ReferAnswer:
        """The phone wants to give its call to another one."""
        if self._handler is None or self.state is not LegState.UP:
            return ReferAnswer(_NO_SUCH_CALL)
        return self._handler.on_refer(self, refer)

    def answered(self, text: str) -> None:
        """An offer of ours was answered by an SDP, whose first codec counts, or whose flaws end it.

        RFC 3264 section 6.1: the first one is what the phone likes to use.
        """
        self._we_offered = False
        try:
            remote = parse_sdp_untrusted(text, self.srtp)
            self._remote = replace(remote, payload_types=remote.payload_types[:1])
            if self._handler is not None and not self.is_over:
                self._local = self._handler.on_media(self, self._remote)
        except (SdpError, SdesError):
            self.end(NOT_ACCEPTABLE_HERE)

    @property
    def awaits_answer(self) -> bool:
        """Whether an offer of ours is open."""
        return self._we_offered

    @property
    def remote(self) -> AudioDescription | None:
        """What the phone said last of its media."""
        return self._remote

    def rings(self) -> None:
        """A 180 was received, or sent."""
        if self.state is LegState.CALLING:
            self.on_ringing(self)

    def established(self) -> None:
        """The 2xx is acknowledged."""
        if not self.is_over:
            self._move(LegInput.ACCEPTED)
            if self._handler is not None:
                self._handler.on_answered(self)

    def disconnected(self, status: int, reason: str, q850: int | None) -> None:
        """It is over: the stack is let go, and the handler told."""
        if self.state is LegState.ENDED:
            return
        self._move(LegInput.DISCONNECTED)
        handler, self._handler, self._control = self._handler, None, None
        self.on_ringing = _ignore
        if handler is not None:
            handler.on_ended(self, status, reason, q850)

    # Within.

    def _move(self, happened: LegInput) -> None:
        self.state = TRANSITIONS[self.state, happened]

    def _answer_offer(self, offer: AudioDescription) -> None:
        assert self._handler is not None  # noqa: S101  # both callers have looked
        self._remote = offer
        self._local = self._handler.on_media(self, offer)
        self._prepared = write_sdp(offer, self._local, self._session_id, 1)

    def _respond(self, status: int, sdp: str = "") -> bool:
        return self._control is not None and self._control.respond(status, "", (), sdp)

    def _respond_with_media(self, status: int, local: LocalMedia | None) -> None:
        """Answer with SDP, a new one where that is still possible.

        Within on_incoming there is no handler yet to ask for media: then it waits for begin().
        """
        if self.state is not LegState.INVITED:
            return
        if self._handler is None:
            self._deferred.append((status, local))
            return
        try:
            sdp = self._changed_sdp(local)
        except SdpError:
            self.end(NOT_ACCEPTABLE_HERE)
            return
        self._media_sent = True
        done = self._respond(status, sdp)
        if status == _ACCEPTED and not self.is_over:
            self._move(LegInput.ACCEPT) if done else self.end(SERVER_ERROR)

    def _changed_sdp(self, local: LocalMedia | None) -> str:
        if local is None or self._media_sent:
            return ""
        if local == self._local:
            return self._prepared
        self._local = local
        if self.offer is None:
            return ""
        return write_sdp(self.offer, local, self._session_id, 1)


def _ignore(_leg: SipLeg) -> None:
    """Stand in for a callback that nobody has set."""


def _one_line(reason: str) -> str:
    """A reason phrase without what could begin another header: it may come from a far end."""
    return "".join(c for c in reason[:_MAX_REASON_CHARACTERS] if " " <= c <= "~")
