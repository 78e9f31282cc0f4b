"""Hold music: files that are played, files that are not, and comfort noise."""

import struct
from math import log10, sqrt

import pytest

from bridge.iax2 import Format
from bridge.media import codecs
from bridge.media.hold_music import HoldMusicError, comfort, recorded
from bridge.media.sources import Source
from tests.lab.wav import FRAMES, wav


def source(data: bytes, format_: int = Format.ULAW) -> Source:
    found = recorded(data).source(format_)
    assert found is not None
    return found


def test_a_recording_is_played_again_and_again_in_whole_frames() -> None:
    data = wav(b"".join(FRAMES) + b"rest", before=b"LIST" + struct.pack("<I", 3) + b"odd\0")
    player = source(data)
    assert [player.next_frame() for _ in range(7)] == [*FRAMES, *FRAMES, FRAMES[0]]
    assert source(data).next_frame() == FRAMES[0]


@pytest.mark.parametrize(("tag", "law"), [(7, Format.ULAW), (6, Format.ALAW)])
def test_both_laws_are_served_from_either(tag: int, law: Format) -> None:
    data = wav(b"".join(FRAMES), tag=tag)
    for format_ in (Format.ULAW, Format.ALAW):
        table = codecs.translation(law, format_)
        expected = FRAMES[0] if table is None else FRAMES[0].translate(table)
        assert source(data, format_).next_frame() == expected
    assert recorded(data).source(Format.GSM) is None


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", "a WAV file"),
        (b"RIFF\0\0\0\0WAVE", "a WAV file"),
        (b"RIFX" + wav(FRAMES[0])[4:], "a WAV file"),
        (wav(FRAMES[0])[:30], "a WAV file"),
        (wav(FRAMES[0], tag=1), "mu-law or A-law"),
        (wav(FRAMES[0], channels=2), "one channel"),
        (wav(FRAMES[0], rate_hz=16000), "8000 Hz"),
        (wav(FRAMES[0][:159]), "20 ms"),
        (wav(FRAMES[0])[:100], "20 ms"),
    ],
)
def test_what_is_no_such_file(data: bytes, text: str) -> None:
    with pytest.raises(HoldMusicError, match=text):
        recorded(data)


def test_comfort_is_a_soft_noise() -> None:
    player = comfort().source(Format.ULAW)
    assert player is not None
    samples = codecs.decode(Format.ULAW, b"".join(player.next_frame() for _ in range(200)))
    rms = sqrt(sum(sample * sample for sample in samples) / len(samples))
    level_dbm0 = 20 * log10(rms * sqrt(2) / codecs.peak_of_0_dbm0(Format.ULAW))
    assert abs(level_dbm0 + 50) < 1
