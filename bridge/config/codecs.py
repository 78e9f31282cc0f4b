"""The codecs of a link: whatever the far end chooses of them, its frames have the same size."""

from typing import Annotated

from pydantic import AfterValidator

from bridge.config.values import expected, one_of
from bridge.iax2.cipher import FULL_CLEAR_OCTETS, MINI_CLEAR_OCTETS, encrypted_octets
from bridge.iax2.frames import FULL_HEADER_OCTETS, MINI_HEADER_OCTETS
from bridge.media.codecs import FORMAT_OF_NAME, frame_octets


def _of_one_size(value: tuple[str, ...]) -> tuple[str, ...]:
    if not value or len(set(value)) != len(value):
        raise expected("a list of codecs, each once")
    if len({_voice_octets(codec) for codec in value}) > 1:
        raise expected(
            "codecs whose frames have one size on the link, else the size would show which is "
            "spoken: of ulaw, alaw and g722, of gsm and ilbc, or g729 alone"
        )
    return value


def _voice_octets(codec: str) -> tuple[int, int]:
    """Return how long a codec's encrypted mini and full frames are, without what stays in clear."""
    payload = frame_octets(FORMAT_OF_NAME[codec])
    mini, full = MINI_HEADER_OCTETS - MINI_CLEAR_OCTETS, FULL_HEADER_OCTETS - FULL_CLEAR_OCTETS
    return encrypted_octets(mini + payload), encrypted_octets(full + payload)


Codec = Annotated[str, one_of(*FORMAT_OF_NAME)]
Codecs = Annotated[tuple[Codec, ...], AfterValidator(_of_one_size)]
