"""Coverage-guided fuzzing with atheris: the parsers, and the endpoint fed with a few datagrams.

python -m tests.fuzz.guided CORPUS_FOLDER [options of libFuzzer]

Atheris looks for inputs that reach new branches of bridge/iax2 and keeps them in the corpus.
"""

import sys
from contextlib import suppress

import atheris

with atheris.instrument_imports(include=["bridge.iax2"]):
    from bridge.iax2.elements import parse_elements_untrusted
    from bridge.iax2.errors import FrameError
    from bridge.iax2.frames import parse_frame_untrusted

from tests.lab.iax2_attack import PHASES, Attack
from tests.lab.iax2_peer import PEER, STRANGER

_PHASES = tuple(PHASES.values())
_DATAGRAMS_MAX = 12
_SEALABLE_OCTETS = 4


def one_input(octets: bytes) -> None:
    """Try one input: its first octet says on what."""
    if not octets:
        return
    match octets[0] % 4:
        case 0:
            _try_frame(octets[1:])
        case 1:
            _try_elements(octets[1:])
        case _:
            _try_endpoint(octets)


def _try_frame(octets: bytes) -> None:
    with suppress(FrameError):
        frame = parse_frame_untrusted(octets)
        assert parse_frame_untrusted(frame.encode()) == frame


def _try_elements(octets: bytes) -> None:
    with suppress(FrameError):
        assert parse_elements_untrusted(octets).encode() == octets


def _try_endpoint(octets: bytes) -> None:
    """Send the datagrams that an input holds: each an octet of how, one of length, and octets."""
    provider = atheris.FuzzedDataProvider(octets)
    attack = Attack(_PHASES[provider.ConsumeIntInRange(0, len(_PHASES) - 1)]())
    for _ in range(_DATAGRAMS_MAX):
        if not provider.remaining_bytes():
            break
        how = provider.ConsumeIntInRange(0, 255)
        datagram = provider.ConsumeBytes(provider.ConsumeIntInRange(0, 255))
        if how & 1 and attack.peer.key is not None and len(datagram) >= _SEALABLE_OCTETS:
            datagram = attack.peer.seal(datagram)
        attack.send(datagram, STRANGER if how & 2 else PEER)
        if how & 4:
            attack.pass_time(how / 64)
    attack.check_the_end()


if __name__ == "__main__":
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
