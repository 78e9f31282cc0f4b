"""Real frames: each decodes to what its listing says and encodes back octet for octet."""

import re
from collections import defaultdict
from collections.abc import Iterator
from typing import Final

import pytest

from bridge.iax2.auth import derive_key, md5_result
from bridge.iax2.cipher import Entropy, Opener, Sealer, encrypted_octets
from bridge.iax2.constants import ElementType, FrameType, IaxSubclass
from bridge.iax2.elements import InformationElements, parse_elements_untrusted
from bridge.iax2.frames import FullFrame, parse_frame_untrusted
from tests.vectors.capture import read_capture
from tests.vectors.listing import listing_line
from tests.vectors.reference import (
    OpenedFrame,
    clear_octets,
    named,
    open_capture,
    reference_encrypt,
)

ENCRYPTED: Final = ("a-md5-22-22", "b1-md5-16-to-22")
LISTED: Final = (*ENCRYPTED, "c-plain-22-22", "f-register-qualify")
BAD_SECRET: Final = "g-badsecret"
ALL: Final = (*LISTED, BAD_SECRET)
WITH_KEYS: Final = (*ENCRYPTED, BAD_SECRET)
BLOCK: Final = 16

FRAME_COUNT: Final = {
    "a-md5-22-22": 1310,
    "b1-md5-16-to-22": 1389,
    "c-plain-22-22": 1311,
    "f-register-qualify": 16,
    BAD_SECRET: 78,
}
DIALED: Final = {
    "a-md5-22-22": "5551234#",
    "b1-md5-16-to-22": "1616#",
    "c-plain-22-22": "5551234#",
    "f-register-qualify": "",
}
DATAGRAM_OCTETS: Final = {
    "mini frame": {194},
    "VOICE": {196},
    "ACK": {36},
    "VNAK": {36},
    "LAGRQ": {36},
    "LAGRP": {36},
    "HANGUP": {36},
    "DTMF_BEGIN": {36},
    "DTMF_END": {36},
    "CONTROL": {36},
    "RTKEY": {52},
    "ACCEPT": {52},
    "AUTHREP": {68},
}
"""How many octets an eavesdropper counts for each kind of encrypted frame, 20 ms of mu-law."""


def kind_of(opened: OpenedFrame) -> str:
    frame = opened.frame
    if frame is None:
        return "mini frame"
    if frame.frame_type == FrameType.IAX:
        return IaxSubclass(frame.subclass).name
    return FrameType(frame.frame_type).name


def where(name: str, opened: OpenedFrame) -> str:
    return f"{name} frame {opened.datagram.number} ({kind_of(opened)})"


@pytest.mark.parametrize("name", ALL)
def test_the_capture_is_whole(name: str) -> None:
    capture = read_capture(name)
    assert len(capture.datagrams) == len(capture.listing) == FRAME_COUNT[name]


@pytest.mark.parametrize("name", LISTED)
def test_every_frame_decodes_to_what_stands_beside_it(name: str) -> None:
    for opened, listed in zip(open_capture(name), read_capture(name).listing, strict=True):
        with named(f"{name} frame {opened.datagram.number}"):
            decoded = listing_line(opened)
        assert decoded == listed, f"{where(name, opened)}\ndecoded: {decoded}\nlisted:  {listed}"


@pytest.mark.parametrize("name", ALL)
def test_every_frame_encodes_back_to_its_octets(name: str) -> None:
    for opened in open_capture(name):
        encoded = parse_frame_untrusted(opened.clear).encode()
        assert encoded.hex() == opened.clear.hex(), where(name, opened)


@pytest.mark.parametrize("name", ALL)
def test_every_block_of_elements_encodes_back_to_its_octets(name: str) -> None:
    for opened, frame, elements in _iax_frames(name):
        assert elements.encode().hex() == frame.data.hex(), where(name, opened)


@pytest.mark.parametrize("name", WITH_KEYS)
def test_a_fresh_sealer_given_the_padding_reproduces_the_wire(name: str) -> None:
    for opened in open_capture(name):
        if opened.key is not None:
            sealed = _sealed(Sealer(opened.key, _entropy_of(opened.padding)), opened)
            assert sealed.hex() == opened.datagram.octets.hex(), where(name, opened)


@pytest.mark.parametrize("name", WITH_KEYS)
def test_one_sealer_for_all_frames_of_a_key_reproduces_the_wire(name: str) -> None:
    for key, frames in _by_key(name).items():
        sealer = Sealer(key, _entropy_in_a_chain(frames))
        for opened in frames:
            sealed = _sealed(sealer, opened)
            assert sealed.hex() == opened.datagram.octets.hex(), where(name, opened)


@pytest.mark.parametrize("name", WITH_KEYS)
def test_one_opener_for_all_frames_of_a_key_reads_them_all(name: str) -> None:
    for key, frames in _by_key(name).items():
        opener = Opener(key)
        for opened in frames:
            octets = opened.datagram.octets
            read = opener.open_mini(octets) if opened.frame is None else opener.open_full(octets)
            assert read is not None, where(name, opened)
            assert read.hex() == opened.clear.hex(), where(name, opened)


@pytest.mark.parametrize("name", ENCRYPTED)
def test_the_reference_encrypts_as_the_wire(name: str) -> None:
    for opened in open_capture(name):
        if opened.key is not None:
            start = clear_octets(opened.clear)
            encrypted = reference_encrypt(opened.key, opened.padding, opened.clear[start:])
            assert encrypted.hex() == opened.datagram.octets[start:].hex(), where(name, opened)


@pytest.mark.parametrize("name", ENCRYPTED)
def test_sizes_on_the_wire(name: str) -> None:
    seen = defaultdict(set)
    for opened in open_capture(name):
        if opened.key is not None:
            size_octets = len(opened.datagram.octets)
            start = clear_octets(opened.clear)
            assert size_octets == start + encrypted_octets(len(opened.clear) - start)
            seen[kind_of(opened)].add(size_octets)
    assert seen == {kind: DATAGRAM_OCTETS[kind] for kind in seen}
    assert {"mini frame", "VOICE", "ACK", "DTMF_END", "RTKEY", "ACCEPT", "AUTHREP"} <= set(seen)


@pytest.mark.parametrize("name", ENCRYPTED)
def test_all_is_encrypted_from_authrep_on(name: str) -> None:
    in_clear = [opened for opened in open_capture(name) if opened.key is None]
    assert [kind_of(opened) for opened in in_clear] == ["NEW", "CALLTOKEN", "NEW", "AUTHREQ"]
    assert [opened.datagram.number for opened in in_clear] == [1, 2, 3, 4]


@pytest.mark.parametrize("name", ENCRYPTED)
def test_keys_are_those_of_the_notes(name: str) -> None:
    """The call's key comes from challenge and secret, and only the callee rotates it."""
    capture = read_capture(name)
    notes = "\n".join(capture.notes)
    challenge, first_key = _found(r"challenge=(\d+) key0=MD5\(challenge\+secret\)=(\w+)", notes)
    number, callee, rotated_key = _found(r"RTKEY frame (\d+) \S+ (\S+) .* new key (\w+)", notes)
    assert derive_key(challenge.encode(), capture.secrets["callee"]).hex() == first_key
    for opened in open_capture(name):
        if opened.key is not None:
            rotated = opened.datagram.source == callee and opened.datagram.number > int(number)
            assert opened.key.hex() == (rotated_key if rotated else first_key), where(name, opened)


@pytest.mark.parametrize("name", LISTED)
@pytest.mark.parametrize("frame_type", [FrameType.DTMF_BEGIN, FrameType.DTMF_END])
def test_the_dialed_digits_are_read(name: str, frame_type: FrameType) -> None:
    frames = [opened.frame for opened in open_capture(name)]
    digits = [chr(f.subclass) for f in frames if f is not None and f.frame_type == frame_type]
    assert "".join(digits) == DIALED[name]


@pytest.mark.parametrize("name", ALL)
def test_md5_results_answer_their_challenges(name: str) -> None:
    secrets = read_capture(name).secrets
    challenges: dict[int, bytes] = {}
    answered = []
    for opened, frame, elements in _iax_frames(name):
        if frame.subclass in {IaxSubclass.AUTHREQ, IaxSubclass.REGAUTH}:
            challenges[frame.destination_call_number] = elements.get(ElementType.CHALLENGE) or b""
        if (result := elements.get(ElementType.MD5_RESULT)) is not None:
            owner = "caller" if frame.subclass == IaxSubclass.AUTHREP else "registration"
            challenge = challenges[frame.source_call_number]
            assert result == md5_result(challenge, secrets[owner]), where(name, opened)
            answered.append(owner)
    assert set(answered) == set(secrets) - {"callee"}


def test_either_side_of_the_call_with_two_secrets_is_read_under_its_own() -> None:
    kinds = {kind_of(opened) for opened in open_capture(BAD_SECRET) if opened.key is not None}
    assert kinds == {"AUTHREP", "ACK", "VNAK", "LAGRQ", "HANGUP", "PING"}


def test_frames_under_the_wrong_secret_decrypt_to_nothing_known() -> None:
    """What CBC without a MAC leaves to plausibility: nearly all garbage has some body."""
    capture = read_capture(BAD_SECRET)
    opener = Opener(derive_key(b"948304699", capture.secrets["caller"]))
    callee_frames = [
        opened
        for opened in open_capture(capture.name)
        if opened.key is not None and opened.datagram.source == "127.0.0.12"
    ]
    read = [opener.open_full(opened.datagram.octets) for opened in callee_frames]
    bodies = [octets for octets in read if octets is not None and len(octets) >= 12]
    assert len(bodies) > len(read) / 3
    frames = [parse_frame_untrusted(octets) for octets in bodies]
    types = {frame.frame_type for frame in frames if isinstance(frame, FullFrame)}
    assert not types & set(FrameType)


def _iax_frames(name: str) -> Iterator[tuple[OpenedFrame, FullFrame, InformationElements]]:
    for opened in open_capture(name):
        frame = opened.frame
        if frame is not None and frame.frame_type == FrameType.IAX:
            yield opened, frame, parse_elements_untrusted(frame.data)


def _entropy_of(padding: bytes) -> Entropy:
    def entropy(octets: int) -> bytes:
        assert octets == len(padding), "padding of another length is asked for"
        return padding

    return entropy


def _entropy_in_a_chain(frames: list[OpenedFrame]) -> Entropy:
    """Return what a long-lived context must draw: it XORs the block before into the padding."""
    blocks = [bytes(BLOCK), *(opened.datagram.octets[-BLOCK:] for opened in frames)]
    draws = (
        bytes(a ^ b for a, b in zip(opened.padding[:15], block[:15], strict=True))
        + opened.padding[15:]
        for opened, block in zip(frames, blocks[:-1], strict=True)
    )
    return lambda _octets: next(draws)


def _sealed(sealer: Sealer, opened: OpenedFrame) -> bytes:
    if opened.frame is None:
        return sealer.seal_mini(opened.clear)
    return sealer.seal_full(opened.clear)


def _by_key(name: str) -> dict[bytes, list[OpenedFrame]]:
    frames: dict[bytes, list[OpenedFrame]] = defaultdict(list)
    for opened in open_capture(name):
        if opened.key is not None:
            frames[opened.key].append(opened)
    return frames


def _found(pattern: str, text: str) -> tuple[str, ...]:
    match = re.search(pattern, text)
    assert match is not None, f"the notes have no {pattern}"
    return match.groups()
