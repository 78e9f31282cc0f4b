"""Real Asterisks for a whole test session: fetched once, started once for each version."""

import secrets
from collections.abc import Iterator

import pytest

from tests.lab.addresses import free_iax_address
from tests.lab.asterisk import AsteriskPeer
from tests.lab.asterisk_config import far_end
from tests.lab.asterisk_fetch import SUITES, AsteriskTree, fetch_asterisk


@pytest.fixture(scope="session")
def link_secret() -> str:
    return secrets.token_urlsafe(32)


@pytest.fixture(scope="session")
def trees() -> dict[str, AsteriskTree]:
    """The Asterisks by their major version, "22" and "16"."""
    found = {name: fetch_asterisk(suite) for name, suite in SUITES.items()}
    for name, tree in found.items():
        print(f"Asterisk {name}: {tree.version}")
    return found


@pytest.fixture(scope="session")
def echo_22(trees: dict[str, AsteriskTree], link_secret: str) -> Iterator[AsteriskPeer]:
    with AsteriskPeer(trees["22"], far_end(free_iax_address(), link_secret)) as peer:
        yield peer


@pytest.fixture(scope="session")
def echo_16(trees: dict[str, AsteriskTree], link_secret: str) -> Iterator[AsteriskPeer]:
    with AsteriskPeer(trees["16"], far_end(free_iax_address(), link_secret)) as peer:
        yield peer


@pytest.fixture(params=["22", "16"])
def echo_peer(request: pytest.FixtureRequest) -> AsteriskPeer:
    """A far end that logs the digits it reads and echoes the audio, of either version."""
    peer = request.getfixturevalue(f"echo_{request.param}")
    assert isinstance(peer, AsteriskPeer)
    peer.forget_calls()
    return peer
