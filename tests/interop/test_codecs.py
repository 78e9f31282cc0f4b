"""Proof, interop: every codec of a link, with real Asterisks and real decoders."""

import importlib
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from bridge.iax2.constants import Format
from bridge.media import codecs
from tests.lab.addresses import free_iax_address
from tests.lab.asterisk import AsteriskPeer
from tests.lab.asterisk_config import far_end, with_codecs
from tests.lab.asterisk_fetch import AsteriskTree
from tests.lab.results import record, sized
from tests.lab.scene import no_channel_left, open_scene, received_calls

ANSWER_S: Final = 10.0
NUMBER: Final = "49301234567"
EVERY: Final = "ulaw,alaw,g722,gsm,ilbc,g729"
CODECS: Final = {
    "ulaw": (0, 160, 194),
    "alaw": (8, 160, 194),
    "g722": (9, 160, 194),
    "gsm": (3, 33, 66),
    "ilbc": (97, 38, 66),
    "g729": (18, 20, 50),
}
"""Payload type, octets of 20 ms, octets of a mini frame's datagram."""

DECODERS: Final = {
    Format.G722: ("g722", 16_000, b"\x00\xff"),
    Format.GSM: ("gsm", 8_000, b"\xd0\xdf"),
    Format.ILBC: ("ilbc", 8_000, b"\x00\xff"),
    Format.G729: ("g729", 8_000, b"\x00\xff"),
}
"""Name and sample rate of FFmpeg's decoder, and the range of a frame's first octet."""
LOUD: Final = 2_000
SILENT: Final = 64
"""Of 32768, 54 dB below the loudest; what is left may be a constant, which nobody hears."""


@pytest.fixture(scope="module", params=sized(["22"], ["22", "16"]))
def peer(
    request: pytest.FixtureRequest, trees: dict[str, AsteriskTree], link_secret: str
) -> Iterator[AsteriskPeer]:
    settings = with_codecs(far_end(free_iax_address(), link_secret), EVERY)
    with AsteriskPeer(trees[request.param], settings) as running:
        yield running


BEGUN_ANEW = {"ilbc": 2}
"""Frames lost where an Asterisk counts another length for a codec's frames, and so begins its voice
anew, off the grid: VoicePath believes the second frame there. Asterisk does so with iLBC, once more
each time that the machine is late."""


@pytest.mark.parametrize("codec", CODECS)
async def test_a_call_in_every_codec(
    peer: AsteriskPeer, link_secret: str, tmp_path: Path, codec: str
) -> None:
    payload_type, frame_octets, datagram_octets = CODECS[codec]
    peer.forget_calls()
    overrides = {"links": {"codecs": [codec]}}
    async with open_scene(peer, link_secret, tmp_path, overrides=overrides) as scene:
        call = await scene.dial(NUMBER, formats=(payload_type,))
        call.audio.frame_octets = frame_octets
        await call.answered(ANSWER_S)
        await scene.talk(call, sized(4, 60))
        await call.bye()
        await no_channel_left(peer)
    (received,) = await received_calls(peer, 1, 2)
    assert (received.digits, received.secure_media) == (NUMBER, "1")
    echo = scene.echo(call)
    assert echo.report.sent > 150
    begun_anew = BEGUN_ANEW[codec] + echo.stalls if codec in BEGUN_ANEW else 0
    assert echo.is_good or echo.report.lost <= begun_anew, echo
    assert {packet.payload_type for packet in call.audio.audio_received()} == {payload_type}
    minis = [d.payload for d in scene.link.datagrams if not d.payload[0] & 0x80]
    assert len(minis) > 300
    assert {len(payload) for payload in minis} == {datagram_octets}
    figures = {"asterisk": peer.tree.version, "codec": codec, **echo.figures()}
    record("a call in every codec", figures)


async def test_the_far_end_chooses_among_the_links_codecs(
    trees: dict[str, AsteriskTree], link_secret: str, tmp_path: Path
) -> None:
    """It has the second one alone: a phone of both gets that, a phone of the first one 488."""
    settings = with_codecs(far_end(free_iax_address(), link_secret), "g722")
    overrides = {"links": {"codecs": ["ulaw", "g722"]}}
    with AsteriskPeer(trees["22"], settings) as running:
        async with open_scene(running, link_secret, tmp_path, overrides=overrides) as scene:
            call = await scene.dial(NUMBER, formats=(0, 9))
            await call.answered(ANSWER_S)
            await scene.talk(call, 2)
            await call.bye()
            refused = await scene.dial(NUMBER, formats=(0,))
            assert (await refused.status(200, ANSWER_S)).status == 488
            await no_channel_left(running)
    assert {packet.payload_type for packet in call.audio.audio_received()} == {9}


@pytest.mark.parametrize("format_", DECODERS, ids=lambda format_: format_.name)
def test_silence_decodes_to_silence_whatever_came_before(format_: Format) -> None:
    name, rate, first = DECODERS[format_]
    silence = codecs.silence(format_, codecs.frame_octets(format_))
    for seed in range(sized(5, 100)):
        dice = random.Random(seed)
        noise = [
            bytes([dice.randint(*first)]) + dice.randbytes(len(silence) - 2) + b"\0"
            for _ in range(25)
        ]
        decoded = _decode(name, rate, [*noise, *[silence] * 25])
        samples = rate // 50
        assert max(decoded[: 25 * samples]) > LOUD
        assert max(map(abs, decoded[27 * samples :])) <= SILENT


def _decode(name: str, rate: int, frames: list[bytes]) -> list[int]:
    av: Any = importlib.import_module("av")  # which has no types
    decoder = av.CodecContext.create(name, "r")
    decoder.sample_rate, decoder.layout = rate, "mono"
    decoded: list[int] = []
    for frame in frames:
        for audio in decoder.decode(av.Packet(frame)):
            plane = audio.to_ndarray().ravel()
            scale = 1 if audio.format.name.startswith("s16") else 32768
            decoded += [round(float(sample) * scale) for sample in plane]
    assert len(decoded) == len(frames) * rate // 50
    return decoded
