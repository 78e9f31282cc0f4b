"""Proof, interop: no digit is heard in a real voice."""

import importlib
from typing import Any

from bridge.iax2.constants import Format
from bridge.media import codecs
from bridge.media.in_band_digits import ToneDigitDetector
from tests.lab.asterisk_fetch import AsteriskTree
from tests.lab.results import record

GSM_OCTETS = 33


def test_asterisks_prompts_hold_no_digit(trees: dict[str, AsteriskTree]) -> None:
    """25 minutes of a real voice, decoded by FFmpeg, in mu-law."""
    prompts = sorted(trees["22"].data.glob("sounds/**/*.gsm"))
    assert len(prompts) > 500
    seconds, false = 0.0, []
    for prompt in prompts:
        samples = _decoded(prompt.read_bytes())
        seconds += len(samples) / codecs.SAMPLE_RATE_HZ
        heard = ToneDigitDetector(Format.ULAW).receive(codecs.encode(Format.ULAW, samples))
        false += [prompt.name] if heard else []
    assert seconds > 600
    assert false == []
    record("digits heard in speech", {"seconds": round(seconds), "false": len(false)})


def _decoded(recording: bytes) -> list[int]:
    av: Any = importlib.import_module("av")  # which has no types
    decoder = av.CodecContext.create("gsm", "r")
    decoder.sample_rate, decoder.layout = codecs.SAMPLE_RATE_HZ, "mono"
    samples: list[int] = []
    for at in range(0, len(recording) - GSM_OCTETS + 1, GSM_OCTETS):
        for audio in decoder.decode(av.Packet(recording[at : at + GSM_OCTETS])):
            samples += audio.to_ndarray().ravel().tolist()
    return samples
