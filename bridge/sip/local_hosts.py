"""Which of our addresses somebody reaches, or is reached from."""

from __future__ import annotations

import socket
from collections.abc import Sequence

from bridge.sip.settings import ListenAddress

_ANY_PORT = 9  # nothing is sent there


class LocalHosts:
    """The addresses that SIP is listened on."""

    def __init__(self, listen: Sequence[ListenAddress]) -> None:
        self._bound = [address.host for address in listen if not address.is_wildcard]

    def reached_by(self, source_host: str, arrived_at: str) -> str:
        """The address of ours that a source has reached, as good as it can be known.

        A socket bound to all addresses does not tell: then it is the one that the kernel would
        answer from.
        """
        if arrived_at in self._bound:
            return arrived_at
        return _answering_host(source_host) or arrived_at

    def toward(self, host: str) -> str:
        """The address of ours that a host is called from; empty when it leads nowhere."""
        bound = [each for each in self._bound if (":" in each) == (":" in host)]
        answering = _answering_host(host)
        return answering if answering in bound or not bound else bound[0]


def _answering_host(host: str) -> str:
    """The address that the kernel would send to a host from; empty when it would not."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((host, _ANY_PORT))
            return str(probe.getsockname()[0])
    except OSError:  # no way leads there, or no descriptor is left
        return ""
