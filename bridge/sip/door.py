"""Our module within PJSIP: requests that no call of pjsua2 takes come up here, and OPTIONS go out.

Owns the translation between pjsua2's objects and ours. No exception leaves a callback.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from contextlib import suppress

import pjsua2 as pj

from bridge.sip.admission import Answer, SipRequest
from bridge.sip.call import log_failure, pj_header
from bridge.sip.leg import SERVER_ERROR
from bridge.sip.messages import host_port

UNREACHABLE = 503
_OWN_URI = "<sip:bridge@localhost>"

Told = Callable[[int], None]


class Door(pj.SipModule):  # type: ignore[misc]  # pjsua2 carries no types
    """Sees requests outside dialogs, and INFO and OPTIONS within calls, before pjsua2 does.

    Args:
        decide: What becomes of a request outside a dialog; None leaves it to pjsua2.
        in_call: The same for one within the call of that number.
    """

    def __init__(
        self,
        decide: Callable[[SipRequest], Answer | None],
        in_call: Callable[[int, SipRequest], Answer | None],
    ) -> None:
        super().__init__("siax-door")
        self._decide = decide
        self._in_call = in_call
        self._pings: dict[int, Told] = {}
        self._tokens = itertools.count(1)

    def onRxRequest(self, prm: pj.OnRxRequestParam) -> bool:  # noqa: N802
        """Answer the request, or leave it to pjsua2 by returning False."""
        try:
            request = _request(prm)
            is_in_call = prm.callId != pj.PJSUA_INVALID_ID
            answer = self._in_call(prm.callId, request) if is_in_call else self._decide(request)
        except Exception as error:  # noqa: BLE001  # whatever it is, it must not reach C++
            log_failure("onRxRequest", error)
            answer = Answer(SERVER_ERROR)
        if answer is None:
            return False
        prm.code = answer.status
        prm.reason = answer.reason
        prm.stateful = answer.stateful
        prm.delayMs = answer.delay_ms
        for name, value in answer.headers:
            prm.headers.append(pj_header(name, value))
        return True

    def options(self, target: str, told: Told) -> None:
        """Send OPTIONS; `told` gets the final status, 408 where no answer came within 32 s.

        An address that nothing can be sent to counts as 503.
        """
        token = next(self._tokens)
        self._pings[token] = told
        with suppress(pj.Error):
            self.ping(target, _OWN_URI, token)
            return
        self.onPinged(token, UNREACHABLE)

    def onPinged(self, token: int, code: int) -> None:  # noqa: N802
        """An OPTIONS is over."""
        told = self._pings.pop(token, None)
        try:
            if told is not None:
                told(code)
        except Exception as error:  # noqa: BLE001  # as above
            log_failure("onPinged", error)


def _request(prm: pj.OnRxRequestParam) -> SipRequest:
    return SipRequest(
        method=prm.method,
        transport=prm.transport,
        source=host_port(prm.rdata.srcAddress),
        local=host_port(prm.localAddress),
        message=prm.rdata.wholeMsg,
    )
