"""Proof, interop: calls given up before their challenge has come leave nothing at a real Asterisk.

Our engine places them itself, so that each ends at the very moment between NEW and AUTHREQ.
"""

import os
import socket
import time
from collections.abc import Callable

import pytest

from bridge.iax2 import Call, CallProfile, ChallengeMemory, Endpoint, Format
from bridge.iax2.states import State
from tests.lab.addresses import free_iax_address
from tests.lab.asterisk import AsteriskPeer
from tests.lab.asterisk_config import IAX_PORT, USERNAME, far_end
from tests.lab.asterisk_fetch import AsteriskTree
from tests.lab.results import record

CALLS = 10
"""More than the three without proof that Asterisk lets a user have by default."""
WITHIN_S = 5.0
DATAGRAM_OCTETS_MAX = 65535


class EngineCaller:
    """An engine that calls one Asterisk; nothing moves but within its methods."""

    def __init__(self, address: str, secret: str, way: socket.socket) -> None:
        self._profile = CallProfile(
            USERNAME, secret.encode(), "enc", (Format.ULAW,), ChallengeMemory(os.urandom)
        )
        self._address = (address, IAX_PORT)
        self._endpoint = Endpoint()
        self._way = way
        self._sizes_sent: set[int] = set()

    def place_and_give_up(self) -> float:
        """Give a call up when its token has gone out; return how long it then was at the peer."""
        self._sizes_sent.clear()
        call = self._place()
        self._until(lambda: len(self._sizes_sent) == 2)  # the token makes NEW longer
        given_up_at = time.monotonic()
        call.hang_up(given_up_at)
        assert call.state is State.GIVEN_UP
        self._until(lambda: call.state is State.ENDED)  # its encrypted HANGUP is acknowledged
        return time.monotonic() - given_up_at

    def place_and_hang_up(self) -> None:
        """Hold a call until it is answered."""
        call = self._place()
        self._until(lambda: call.state is State.UP)
        call.hang_up(time.monotonic())
        self._until(lambda: call.state is State.ENDED)

    def _place(self) -> Call:
        return self._endpoint.place_call(self._profile, self._address, time.monotonic())

    def _until(self, holds: Callable[[], bool]) -> None:
        """Send and receive, one datagram after the other, until something holds."""
        end = time.monotonic() + WITHIN_S
        while True:
            while (transmit := self._endpoint.poll_transmit()) is not None:
                self._way.sendto(transmit.data, transmit.address)
                self._sizes_sent.add(len(transmit.data))
            if holds():
                return
            now = time.monotonic()
            assert now < end, "it did not come to that"
            due = self._endpoint.next_timeout()
            self._way.settimeout(max(0.001, min(end, due or end) - now))
            try:
                datagram, address = self._way.recvfrom(DATAGRAM_OCTETS_MAX)
            except TimeoutError:
                self._endpoint.handle_timeout(time.monotonic())
            else:
                self._endpoint.receive_datagram(datagram, address, time.monotonic())


@pytest.mark.parametrize("version", ["22", "16"])
def test_ten_calls_given_up_in_a_row_and_one_that_is_not(
    trees: dict[str, AsteriskTree], link_secret: str, version: str
) -> None:
    settings = far_end(free_iax_address(), link_secret)
    longest_s = 0.0
    with (
        AsteriskPeer(trees[version], settings) as peer,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as way,
    ):
        way.bind(("127.0.0.1", 0))
        caller = EngineCaller(settings.address, link_secret, way)
        for _ in range(CALLS):
            longest_s = max(longest_s, caller.place_and_give_up())
        assert "0 active IAX channels" in peer.cli("iax2 show channels")
        assert peer.received_calls() == []
        caller.place_and_hang_up()
    figures = {"asterisk": peer.tree.version, "calls": CALLS, "gone after s": round(longest_s, 3)}
    record("calls given up before their challenge", figures)
