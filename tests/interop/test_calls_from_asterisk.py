"""Proof, interop: a real Asterisk calls our engine over a link that loses 5 % and reorders."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import trio

from bridge.iax2 import EndReason, KeyOrigin
from tests.lab.addresses import free_iax_address
from tests.lab.asterisk import AsteriskPeer
from tests.lab.asterisk_config import HERE, IAX_PORT, PeerSettings
from tests.lab.asterisk_fetch import AsteriskTree
from tests.lab.engine_far_end import USERNAME, EngineFarEnd, FarCall, open_far_end
from tests.lab.proxy import Impairment, LinkProxy, open_proxy
from tests.lab.results import record, sized
from tests.lab.rsa_keys import KEY, PRIVATE_PEM
from tests.lab.tone import tone, tone_share

BAD_LINK = Impairment(loss=0.05, reordering=0.05, seed=20261126)
DIGITS_THERE, DIGITS_HERE = "1590*", "2468A#"
TONE_HZ = 1004.0
FRAME_S = 0.02
VERSIONS = sized(["22"], ["22", "16"])


def caller(peer: str, secret: str, talk_s: int, private_key: bytes | None = None) -> PeerSettings:
    """An Asterisk that calls, sends and reads digits, listens, and then plays a tone.

    With a key it signs and, as Asterisks that sign do, changes the key of the call within it.
    """
    auth = "auth=md5" if private_key is None else f"auth=rsa\noutkey={USERNAME}"
    iax = f"""[general]
bindport={IAX_PORT}
bindaddr={free_iax_address()}
forceencryption=yes
disallow=all
allow=ulaw

[siax]
type=peer
host={peer}
port={IAX_PORT}
username={USERNAME}
secret={secret}
{auth}
encryption=aes128
transfer=no
qualify=no
"""
    steps = (
        f"SendDTMF({DIGITS_HERE},250)",
        "Read(KEYS,,16,,1,20)",
        f"Set(FILE({HERE}/keys.log)=${{KEYS}})",
        f"Record({HERE}/heard.ulaw,0,{talk_s},kq)",
        f"Set(TIMEOUT(absolute)={talk_s})",
        "Milliwatt()",
    )
    plan = "[talk]\nexten => s,1,NoOp()\n" + "".join(f" same => n,{step}\n" for step in steps)
    address = iax.partition("bindaddr=")[2].partition("\n")[0]
    keys = {} if private_key is None else {f"{USERNAME}.key": private_key}
    return PeerSettings(address, {"iax.conf": iax, "extensions.conf": plan}, keys=keys)


@contextmanager
def calling(tree: AsteriskTree, settings: PeerSettings) -> Iterator[AsteriskPeer]:
    with AsteriskPeer(tree, settings) as peer:
        peer.cli("channel originate IAX2/siax/enc extension s@talk")
        yield peer


async def proxy_to(far_end: EngineFarEnd, link: LinkProxy) -> None:
    """Point the proxy at our engine, whatever its port."""
    host, _, port = far_end.address.partition(":")
    link.target = (host, int(port))


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("auth", sized(["MD5"], ["MD5", "RSA"]))
async def test_digits_and_audio_both_ways(
    trees: dict[str, AsteriskTree], version: str, auth: str
) -> None:
    talk_s, signs = sized(3, 30), auth == "RSA"
    async with (
        open_far_end(public_key=KEY.public_key() if signs else None) as far_end,
        open_proxy("127.0.0.1", BAD_LINK) as link,
    ):
        await proxy_to(far_end, link)
        key = PRIVATE_PEM if signs else None
        settings = caller(link.address[0], far_end.secret, talk_s, key)
        with calling(trees[version], settings) as peer:
            call = await far_end.call(1, 15)
            with trio.fail_after(15):
                while len(call.digits) < len(DIGITS_HERE):  # noqa: ASYNC110 - tests need no events
                    await trio.sleep(0.1)
            await trio.sleep(1.5)  # Read() begins a while after the last digit that was sent
            for digit in f"{DIGITS_THERE}#":
                call.send_digit(digit)
                await trio.sleep(0.3)
            await _talk(call, 2 * talk_s + 2)
            await call.wait_ended(20)
            assert (peer.folder / "keys.log").read_text().strip() == DIGITS_THERE
            there = _share([(peer.folder / "heard.ulaw").read_bytes()])
    assert call.digits == DIGITS_HERE
    assert call.keys is not None
    assert call.keys.receiving.origin is (KeyOrigin.PEER if signs else KeyOrigin.HANDSHAKE)
    assert call.reason is EndReason.HANGUP
    here = _share([heard.payload for heard in call.voice[-round(talk_s / FRAME_S * 0.8) :]])
    figures = {"asterisk": peer.tree.version, "auth": auth, "digits both ways": "all"}
    tones = {"tone heard there": there, "tone heard here": here}
    record("calls from Asterisk over a bad link", {**figures, **tones})
    assert min(there, here) > 0.9


@pytest.mark.parametrize("version", VERSIONS)
async def test_secrets_that_differ(trees: dict[str, AsteriskTree], version: str) -> None:
    async with open_far_end() as far_end, open_proxy("127.0.0.1", BAD_LINK) as link:
        await proxy_to(far_end, link)
        settings = caller(link.address[0], "Another-secret-of-the-caller-0123456789", 3)
        with calling(trees[version], settings):
            with trio.fail_after(20):
                while not far_end.refused:  # noqa: ASYNC110 - tests need no events
                    await trio.sleep(0.1)
    assert far_end.refused[0] is EndReason.SECRETS_DIFFER
    assert not far_end.calls


async def _talk(call: FarCall, for_s: float) -> None:
    """Send a tone, until the call is over or so long."""
    source = tone(TONE_HZ)
    due = trio.current_time()
    for number in range(round(for_s / FRAME_S)):
        if call.ended.is_set():
            return
        call.send_voice(source(number), number)
        due += FRAME_S
        await trio.sleep_until(due)


def _share(pieces: list[bytes]) -> float:
    """Which share of the frames is nothing but the tone."""
    audio = b"".join(pieces)
    frames = [audio[start : start + 160] for start in range(0, len(audio) - 159, 160)]
    assert len(frames) > 50
    return round(sum(tone_share(frame, TONE_HZ) > 0.8 for frame in frames) / len(frames), 3)
