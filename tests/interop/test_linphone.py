"""Proof, interop: linphonec registers, calls a real Asterisk and is called by it, with SRTP too."""

from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Final

import pytest

from tests.lab.asterisk import AsteriskPeer
from tests.lab.asterisk_fetch import AsteriskTree
from tests.lab.linphone import Line, Linphone, open_linphone
from tests.lab.softphone_calls import Kind
from tests.lab.softphones import PASSWORD, Registrar
from tests.lab.two_sites import DESK


def registered(
    folder: Path, at: Registrar, transport: str
) -> AbstractAsyncContextManager[Linphone]:
    line = Line(at.uri(DESK, transport), PASSWORD, srtp=transport == "tls")
    return open_linphone(folder, line, at.certificate)


LINPHONE: Final = Kind(registered, tone_hz=700.0)


@pytest.mark.parametrize("transport", ["udp", "tls"])
async def test_it_calls_asterisk(
    echo_22: AsteriskPeer, link_secret: str, tmp_path: Path, transport: str
) -> None:
    await LINPHONE.calls_asterisk(echo_22, link_secret, tmp_path, transport)


@pytest.mark.parametrize("transport", ["udp", "tls"])
async def test_asterisk_calls_it(
    trees: dict[str, AsteriskTree], tmp_path: Path, transport: str
) -> None:
    await LINPHONE.is_called_by_asterisk(trees["22"], tmp_path, transport)
