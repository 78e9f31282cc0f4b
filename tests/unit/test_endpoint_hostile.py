"""Whatever anybody sends, in every phase of a call: nothing raises, and nothing grows.

Three kinds of sender: one who sends random octets, one who changes real datagrams, and a peer
who knows the secret and encrypts whatever it likes.
"""

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.iax2 import Address
from bridge.iax2.admission import UNAUTHENTICATED_PER_SOURCE_MAX
from bridge.iax2.constants import FrameType, IaxSubclass
from tests.lab.iax2_attack import ELEMENTS, FRAMES, PHASES, Attack
from tests.lab.iax2_peer import PEER, STRANGER, VOICE, Peer
from tests.lab.iax2_phases import ask_token, new_elements, taker

SEEDS = st.lists(st.integers(0, 2**32), min_size=1, max_size=40)


def an_address(random: Random) -> Address:
    return PEER if random.random() < 0.8 else STRANGER


@pytest.mark.parametrize("phase", PHASES)
@settings(max_examples=15)
@given(SEEDS, st.binary(max_size=600))
def test_random_octets(phase: str, seeds: list[int], octets: bytes) -> None:
    attack = Attack(PHASES[phase]())
    attack.send(octets, PEER)
    header = attack.peer.frame(FrameType.IAX, IaxSubclass.PING).encode()
    for seed in seeds:
        random = Random(seed)
        clear = random.choice((0, 1, 4, 8, 12))
        attack.send(header[:clear] + random.randbytes(random.randrange(300)), an_address(random))
    attack.check_the_end()


@pytest.mark.parametrize("phase", PHASES)
@settings(max_examples=15)
@given(SEEDS)
def test_real_datagrams_that_were_changed(phase: str, seeds: list[int]) -> None:
    attack = Attack(PHASES[phase]())
    for seed in seeds:
        random = Random(seed)
        frame_type, subclass = random.choice(FRAMES)
        octets = attack.peer.frame(frame_type, subclass, random.choice(ELEMENTS)).encode()
        if random.random() < 0.3:
            octets = b"\x00\x4d" + random.randbytes(2) + VOICE
        encrypted = attack.peer.key is not None and random.random() < 0.8
        datagram = bytearray(attack.peer.seal(octets) if encrypted else octets)
        for _ in range(random.randrange(4)):
            datagram[random.randrange(len(datagram))] ^= 1 << random.randrange(8)
        attack.send(bytes(datagram[: random.choice((len(datagram), 300, 40, 20))]), PEER)
        if random.random() < 0.2:
            attack.pass_time(random.random() * 5)
    attack.check_the_end()


@pytest.mark.parametrize("phase", PHASES)
@settings(max_examples=25)
@given(SEEDS)
def test_a_peer_that_knows_the_key_and_obeys_no_rule(phase: str, seeds: list[int]) -> None:
    attack = Attack(PHASES[phase]())
    peer = attack.peer
    for seed in seeds:
        random = Random(seed)
        frame_type, subclass = random.choice(FRAMES)
        data = random.choice((*ELEMENTS, random.randbytes(random.randrange(1100))))
        octets = bytearray(peer.frame(frame_type, subclass, data).encode())
        if random.random() < 0.3:
            octets[random.randrange(2, 12)] = random.randrange(256)
        peer.oseqno = (peer.oseqno + random.choice((0, 1, 1, 1, 1, 2, 20))) % 256
        for _ in range(random.choice((1, 1, 1, 2, 70))):
            attack.send(bytes(octets) if peer.key is None else peer.seal(bytes(octets)), PEER)
        if random.random() < 0.2:
            attack.command(random)
        if random.random() < 0.3:
            attack.pass_time(random.random() * 5)
    attack.check_the_end()
    assert attack.ended <= 1 + UNAUTHENTICATED_PER_SOURCE_MAX * len(seeds)


@settings(max_examples=60)
@given(SEEDS)
def test_a_stranger_gets_one_and_a_half_times_its_octets_at_most(seeds: list[int]) -> None:
    peer = taker()
    token = ask_token(Peer(peer.endpoint, address=STRANGER))
    attack = Attack(peer, proven=frozenset())
    for seed in seeds:
        random = Random(seed)
        peer.call_number = random.choice((1, 2, 77, 0x7FFF))
        subclass = random.choice((IaxSubclass.NEW, IaxSubclass.POKE, *IaxSubclass))
        data = random.choice(
            (new_elements().encode(), new_elements(token).encode(), b"", random.randbytes(40))
        )
        octets = peer.frame(FrameType.IAX, subclass, data[: random.randrange(120)]).encode()
        attack.send(octets, PEER)
        assert 2 * attack.sent_octets[PEER] <= 3 * attack.received_octets[PEER]
        assert not peer.endpoint._calls
        assert peer.endpoint.call_numbers_taken == 0
    attack.pass_time(60)
    assert 2 * attack.sent_octets[PEER] <= 3 * attack.received_octets[PEER]
