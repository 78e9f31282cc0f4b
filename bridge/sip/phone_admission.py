"""The door for phones with a password: who is let in, who is challenged, who has to wait.

Owns the way of a REGISTER and of an INVITE from outside `allow` up to a proved identity, and the
one log line of each failed attempt. It must not know pjsua2. Strangers learn nothing of which users
exist: each gets the same challenge, and each wrong answer the same again.
"""

from __future__ import annotations

from collections.abc import Callable

import structlog

from bridge.sip.admission import Admission, Admitted, Answer, SipRequest
from bridge.sip.digest import DigestServer, Verdict
from bridge.sip.faults import fault_of
from bridge.sip.headers import MessageHeaders
from bridge.sip.penalties import Penalties
from bridge.sip.registrar import Registrar

log = structlog.get_logger("sip")

_UNAUTHORIZED = 401
_MILLISECONDS = 1000


class PhoneAdmission:
    """An Admission that asks for passwords and serves REGISTER.

    Args:
        allowed: Decides by source address alone; whom it admits may call without a password.
        digest: Challenges and judges.
        registrar: Gets the REGISTERs of phones that have proved who they are.
        clock: Seconds that never step back.
    """

    def __init__(
        self,
        allowed: Admission,
        digest: DigestServer,
        registrar: Registrar,
        clock: Callable[[], float],
    ) -> None:
        self._allowed = allowed
        self._digest = digest
        self._registrar = registrar
        self._clock = clock
        self._penalties = Penalties()

    def __call__(self, request: SipRequest) -> Admitted | Answer:
        """Admit, answer or refuse a request outside a dialog."""
        if request.method not in {"REGISTER", "INVITE"}:
            is_phone = self._registrar.knows_source(request.source[0])
            return Admitted() if is_phone else self._allowed(request)
        headers = request.headers
        allowed = self._allowed(request)
        says_who = self._digest.is_answered_by(headers.all("authorization"))
        if request.method == "INVITE" and not says_who and isinstance(allowed, Admitted):
            return allowed
        admitted = self._authenticate(request, headers)
        if request.method == "REGISTER" and isinstance(admitted, Admitted):
            return fault_of(request) or self._registrar.register(request, admitted.user)
        return admitted

    def _authenticate(self, request: SipRequest, headers: MessageHeaders) -> Admitted | Answer:
        host, now = request.source[0], self._clock()
        fields = headers.all("authorization")
        if fields and (wait_s := self._penalties.wait_s(host, now)):
            return self._challenge(host, now, wait_s, stale=True)
        judgement = self._digest.judge(fields, request.method, headers.request_uri, host, now)
        match judgement.verdict:
            case Verdict.RIGHT:
                return Admitted(judgement.user)
            case Verdict.WRONG:
                self._log_failure(request)
                return self._challenge(host, now, self._penalties.fail(host, now))
            case verdict:
                return self._challenge(host, now, stale=verdict is Verdict.STALE)

    def _challenge(
        self, host: str, now: float, wait_s: float = 0, *, stale: bool = False
    ) -> Answer:
        # Made for the time when it is sent: a nonce need not lose its life by waiting.
        challenges = self._digest.challenges(host, now + wait_s, stale=stale)
        headers = tuple(("WWW-Authenticate", value) for value in challenges)
        return Answer(_UNAUTHORIZED, headers=headers, delay_ms=int(wait_s * _MILLISECONDS))

    def _log_failure(self, request: SipRequest) -> None:
        """The line that packaging/fail2ban looks for: its form is fixed."""
        log.warning(
            "authentication failed",
            source=request.source[0],
            transport=request.transport,
            method=request.method,
        )
