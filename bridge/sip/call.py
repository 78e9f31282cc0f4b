"""pjsua2's Call, made to carry a SipLeg: callbacks go up to the leg, its requests go down.

Owns the rules of a pj.Call's life. A reference is kept in `calls` from birth on, since dropping it
would end the call; and it is dropped within the DISCONNECTED callback, since later the same slot
may hold another call, which would be hung up. No exception may leave a callback: pjsua2 prints and
loses it, so it is logged here, without its text, and ends the call.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import wraps
from typing import TypeVar, cast

import pjsua2 as pj
import structlog
import trio

from bridge.sip.admission import CAPABILITIES, FORBIDDEN, Answer, Headers, SipRequest
from bridge.sip.info import DONE, read_info
from bridge.sip.leg import NOT_ACCEPTABLE_HERE, SERVER_ERROR, SipLeg
from bridge.sip.messages import q850_cause, sdp_body
from bridge.sip.refer import SIPFRAG, read_refer

log = structlog.get_logger("sip")

_RINGING = 180
_REFUSALS = 300
_DECLINE = 603
_Callback = TypeVar("_Callback", bound=Callable[..., None])


def where(error: BaseException) -> str:
    """The place an exception was raised at, as file:line; its text may hold a number."""
    traceback = error.__traceback__
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    if traceback is None:
        return "unknown"
    return f"{traceback.tb_frame.f_code.co_filename.rpartition('/')[2]}:{traceback.tb_lineno}"


def log_failure(callback: str, error: Exception) -> None:
    """Log that a callback failed, without a word of what it worked on."""
    log.error("callback failed", callback=callback, error=type(error).__name__, at=where(error))


def _guarded(callback: _Callback) -> _Callback:
    """Keep exceptions inside: the call ends with 500, the service goes on."""

    @wraps(callback)
    def guarded(self: PjCall, prm: object) -> None:
        try:
            callback(self, prm)
        except Exception as error:  # noqa: BLE001  # whatever it is, it must not reach C++
            log_failure(callback.__name__, error)
            self.fail()

    return cast("_Callback", guarded)


@dataclass(slots=True)
class CallTable:
    """The calls that live, by pjsua2's number, and what to do after each operation on one."""

    after_operation: Callable[[], None]
    by_id: dict[int, PjCall] = field(default_factory=dict)


class PjCall(pj.Call):  # type: ignore[misc]  # pjsua2 carries no types
    """One call of pjsua2; `leg` is set right after construction, before any callback."""

    leg: SipLeg
    trunk = ""
    """The name of the trunk that it was placed on."""

    def __init__(self, account: pj.Account, call_id: int, table: CallTable) -> None:
        super().__init__(account, call_id)
        self._table = table
        self._answer_came = self._is_confirmed = False
        self._acknowledgement = ""
        self._goodbye: Headers | None = None

    # Down: CallControl.

    def respond(self, status: int, reason: str, headers: Headers, sdp: str) -> bool:
        """Answer the INVITE; False when that was not possible.

        A refusal goes this way too, to keep its headers, and the other one if this fails.
        """
        done = self._attempt(self.answer, _operation(headers, status, reason, sdp))
        if not done and status >= _REFUSALS:
            self.hang_up(headers)
        return done

    def place(self, uri: str, from_uri: str, headers: Headers) -> None:
        """Send the INVITE.

        Raises:
            pj.Error: the URI cannot be parsed or reached.
        """
        parameters = _operation(headers)
        parameters.txOption.localUri = from_uri
        self.makeCall(uri, parameters)
        self._table.after_operation()

    def hang_up(self, headers: Headers) -> None:
        """CANCEL or BYE, as pjsip knows best.

        Between our 200 and its ACK the BYE has to wait (RFC 3261 section 15), and pjsip would lose
        its headers meanwhile. So it is we who wait; where no ACK comes, pjsip ends the call.
        """
        if self._awaits_ack():
            self._goodbye = headers
        else:
            self._attempt(self.hangup, _operation(headers))

    def notify(self, headers: Headers, body: str) -> None:
        """Send NOTIFY."""
        request = pj.CallSendRequestParam()
        request.method = "NOTIFY"
        request.txOption.contentType, request.txOption.msgBody = SIPFRAG, body
        _add_headers(request.txOption, headers)
        self._attempt(self.sendRequest, request)

    def _awaits_ack(self) -> bool:
        try:
            info = self.getInfo()
        except pj.Error:  # it is gone
            return False
        return bool(info.state == pj.PJSIP_INV_STATE_CONNECTING and info.role == pj.PJSIP_ROLE_UAS)

    def fail(self) -> None:
        """End it after an error of our own, quietly if even that fails."""
        try:
            self.leg.end(SERVER_ERROR)
        except Exception as error:  # noqa: BLE001  # called from callbacks, as _guarded
            log_failure("fail", error)

    def _attempt(
        self, operation: Callable[[pj.CallOpParam], None], parameters: pj.CallOpParam
    ) -> bool:
        """What the phone has overtaken, as an answer to a call just cancelled, fails harmlessly."""
        try:
            operation(parameters)
        except pj.Error as error:
            log.warning("call operation refused", leg=self.leg.id, status=error.status)
            return False
        finally:
            self._table.after_operation()
        return True

    # Up: callbacks of pjsua2, whose names are its own.

    @_guarded
    def onCallState(self, prm: pj.OnCallStateParam) -> None:  # noqa: N802
        """The state machine of the INVITE has moved."""
        self._read_answer(prm.e)
        info = self.getInfo()
        if info.state == pj.PJSIP_INV_STATE_DISCONNECTED:
            self._forget(info.id)
            cause = q850_cause(_received(prm.e))
            self.leg.disconnected(info.lastStatusCode, info.lastReason, cause)
        elif info.state == pj.PJSIP_INV_STATE_CONFIRMED and self._goodbye is not None:
            self._attempt(self.hangup, _operation(self._goodbye))
        elif info.state == pj.PJSIP_INV_STATE_CONFIRMED:
            self._is_confirmed = True
            if not self._answer_came:  # else the answer is read first, from the message to come
                self.leg.established()
        elif info.state == pj.PJSIP_INV_STATE_EARLY and info.lastStatusCode == _RINGING:
            self.leg.rings()

    def _forget(self, call_id: int) -> None:
        if self._table.by_id.get(call_id) is self:
            del self._table.by_id[call_id]

    @_guarded
    def onCallSdpCreated(self, prm: pj.OnCallSdpCreatedParam) -> None:  # noqa: N802
        """pjsua2 has written an SDP of its own: ours takes its place."""
        text = self.leg.session_description(is_answer=bool(prm.remSdp.wholeSdp))
        if text:
            prm.sdp.wholeSdp = text

    def onCallRxOffer(self, prm: pj.OnCallRxOfferParam) -> None:  # noqa: N802
        """A re-INVITE or UPDATE offers anew."""
        prm.statusCode = NOT_ACCEPTABLE_HERE
        self._answer_offer(prm)

    @_guarded
    def _answer_offer(self, prm: pj.OnCallRxOfferParam) -> None:
        if self.leg.offered(prm.offer.wholeSdp):
            prm.statusCode = pj.PJSIP_SC_OK

    @_guarded
    def onCallMediaState(self, prm: pj.OnCallMediaStateParam) -> None:  # noqa: ARG002, N802
        """An exchange is complete; worth knowing when it answers our offer.

        Then the message itself comes next, except for the ACK of a re-INVITE, and for PRACK, which
        has come.
        """
        if self.leg.awaits_answer:
            if self.getInfo().state == pj.PJSIP_INV_STATE_CONFIRMED:
                self.leg.answered(pj.CallCallbacks.remoteDescription(self.getId()))
            elif self._acknowledgement:
                self.leg.answered(self._acknowledgement)
            else:
                self._answer_came = True

    @_guarded
    def onCallTsxState(self, prm: pj.OnCallTsxStateParam) -> None:  # noqa: N802
        """A transaction of this call has moved on, mostly because of a message."""
        self._read_answer(prm.e)
        message = _received(prm.e)
        self._acknowledgement = sdp_body(message) if message.startswith("PRACK ") else ""

    def _read_answer(self, event: pj.SipEvent) -> None:
        """Take the phone's answer to our offer from its message: pjsua2 tells no keys."""
        description = sdp_body(_received(event)) if self._answer_came else ""
        if description:
            self._answer_came = False
            self.leg.answered(description)
            if self._is_confirmed:
                self.leg.established()

    def asked(self, request: SipRequest) -> Answer:
        """Answer INFO, OPTIONS or REFER within this call."""
        match request.method:
            case "OPTIONS":
                return replace(DONE, headers=CAPABILITIES)
            case "REFER":
                return self._answer_refer(request)
            case _:
                answer, digit = read_info(request.message)
                if digit:
                    self.leg.pressed(digit)
                return answer

    def _answer_refer(self, request: SipRequest) -> Answer:
        """What a REFER leads to begins behind its answer; a trunk may not ask for any."""
        if self.trunk:
            return replace(FORBIDDEN, stateful=True)
        refer = read_refer(request.message, request.source[0])
        if isinstance(refer, Answer):
            return refer
        told = self.leg.referred(refer)
        if told.begin is None:
            return Answer(told.status, stateful=True)
        # Not at once: the phone is to have the answer before anything that it leads to.
        trio.lowlevel.current_trio_token().run_sync_soon(self._begin, told.begin)
        headers: Headers = (("Contact", self.getInfo().localContact),)
        if not refer.subscribes:
            headers += (("Refer-Sub", "false"),)
        return Answer(told.status, headers=headers, stateful=True)

    @_guarded
    def _begin(self, begin: Callable[[], None]) -> None:
        begin()

    def onCallTransferRequest(self, prm: pj.OnCallTransferRequestParam) -> None:  # noqa: N802
        """Decline a REFER that passed the door: pjsua2 would call whatever the phone names."""
        prm.statusCode = _DECLINE

    def onCallReplaceRequest(self, prm: pj.OnCallReplaceRequestParam) -> None:  # noqa: N802
        """Decline INVITE with Replaces: by default pjsua2 would hand the call over."""
        prm.statusCode = _DECLINE


def _operation(
    headers: Headers, status: int = 0, reason: str = "", sdp: str = ""
) -> pj.CallOpParam:
    """Parameters with our headers; media is one audio line and nothing else."""
    parameters = pj.AudioCallOpParam(status, reason, sdp)
    if headers:
        _add_headers(parameters.txOption, headers)
    return parameters


def _add_headers(option: pj.SipTxOption, headers: Headers) -> None:
    for name, value in headers:
        option.headers.append(pj_header(name, value))


def pj_header(name: str, value: str) -> pj.SipHeader:
    """A header as pjsua2 takes it."""
    header = pj.SipHeader()
    header.hName = name
    header.hValue = value
    return header


def _received(event: pj.SipEvent) -> str:
    """The message that caused an event, or nothing when it was no message."""
    body = event.body
    if event.type == pj.PJSIP_EVENT_TSX_STATE and body.tsxState.type == pj.PJSIP_EVENT_RX_MSG:
        return str(body.tsxState.src.rdata.wholeMsg)
    if event.type == pj.PJSIP_EVENT_RX_MSG:  # an ACK, which is no transaction
        return str(body.rxMsg.rdata.wholeMsg)
    return ""


class PjAccount(pj.Account):  # type: ignore[misc]  # pjsua2 carries no types
    """The one account; all calls are its."""

    def __init__(self, invited: Callable[[pj.Account, pj.OnIncomingCallParam], None]) -> None:
        super().__init__()
        self._invited = invited

    def onIncomingCall(self, prm: pj.OnIncomingCallParam) -> None:  # noqa: N802
        """An INVITE has passed the door."""
        try:
            self._invited(self, prm)
        except Exception as error:  # noqa: BLE001  # whatever it is, it must not reach C++
            log_failure("onIncomingCall", error)
