"""Datagrams for an endpoint under attack, made from a seed: near to what is right, and wrong.

Each maker takes a random source, the attack and its peer, and returns (datagram, address). Owns
no bounds: those are the attack's.
"""

from collections.abc import Callable
from random import Random
from typing import Final

from bridge.iax2 import Address, CalleeCall, Format
from bridge.iax2.auth import derive_key, md5_result
from bridge.iax2.constants import ControlSubclass, ElementType, FrameType, IaxSubclass
from bridge.iax2.elements import InformationElements
from bridge.iax2.frames import FullFrame
from bridge.iax2.registrar import RegistrarExchange
from bridge.iax2.states import State
from tests.lab.iax2_attack import ELEMENTS, FRAMES, Attack
from tests.lab.iax2_pair import SECRET
from tests.lab.iax2_peer import PEER, STRANGER, VOICE
from tests.lab.iax2_phases import new_elements
from tests.lab.iax2_registry import REGISTER_NAME, REGISTER_SECRET

Made = tuple[bytes, Address]
Maker = Callable[[Random, Attack], Made]

STRANGERS: Final[tuple[Address, ...]] = (
    STRANGER,
    ("192.0.2.66", 4570),
    ("198.51.100.7", 1024),
    ("2001:db8::66", 4569, 0, 0),
)
_OFTEN: Final = (
    (FrameType.IAX, IaxSubclass.PING),
    (FrameType.IAX, IaxSubclass.LAGRQ),
    (FrameType.IAX, IaxSubclass.ACK),
    (FrameType.IAX, IaxSubclass.VNAK),
    (FrameType.IAX, IaxSubclass.RTKEY),
    (FrameType.CONTROL, ControlSubclass.RINGING),
    (FrameType.DTMF_END, ord("5")),
    (FrameType.VOICE, Format.ULAW),
)
_ENDS: Final = (IaxSubclass.HANGUP, IaxSubclass.REJECT, IaxSubclass.INVAL)
_NO_ENDS: Final = tuple(frame for frame in FRAMES if frame[1] not in _ENDS)
_END_CHANCE: Final = 0.004
_NUMBERS: Final = (0, 1, 2, 77, 255, 0x7FFF)
_WITHOUT_STATE: Final = (
    IaxSubclass.NEW,
    IaxSubclass.NEW,
    IaxSubclass.NEW,
    IaxSubclass.POKE,
    IaxSubclass.REGREQ,
    IaxSubclass.REGREL,
    IaxSubclass.AUTHREP,
    IaxSubclass.INVAL,
)
_WITH_TOKEN: Final = (
    IaxSubclass.NEW,
    IaxSubclass.NEW,
    IaxSubclass.NEW,
    IaxSubclass.REGREQ,
    IaxSubclass.REGREL,
)
_USERNAMES: Final = ("site", "nobody", "\0", REGISTER_NAME)
_TOKEN_LENGTHS: Final = (0, 1, 19, 20, 21, 255)


def make(random: Random, attack: Attack) -> Made:
    """Return one datagram of any kind."""
    return random.choices(_MAKERS, _WEIGHTS)[0](random, attack)


def _noise(random: Random, attack: Attack) -> Made:
    """Octets behind as much of a real header as chance leaves."""
    header = attack.peer.frame(*random.choice(FRAMES)).encode()
    clear = random.choice((0, 1, 2, 4, 8, 11, 12))
    octets = random.choice((0, 1, 4, 16, 24, 32, 33, 48, 192, random.randrange(1500)))
    return header[:clear] + random.randbytes(octets), _somebody(random)


def _stranger(random: Random, attack: Attack) -> Made:
    """What a source says that no call knows: mostly NEW, with tokens of all sorts."""
    elements = new_elements(_token(random, attack)).encode()
    if random.random() < 0.4:
        elements = random.choice((b"", elements[: random.randrange(120)], _mutated(random)))
    frame = FullFrame(
        random.choice(_NUMBERS[1:]),
        random.choice((0, 0, 0, 1, attack.peer.other_call_number)),
        random.randrange(1 << 32),
        random.choice((0, 0, 1, 255)),
        random.choice((0, 0, 1)),
        FrameType.IAX,
        random.choice(_WITHOUT_STATE),
        elements,
    )
    return frame.encode(), random.choice(STRANGERS)


def _token(random: Random, attack: Attack) -> bytes:
    """No token, a forged one, or one that was issued to another address."""
    if random.random() < 0.5:
        return b""
    if random.random() < 0.5:
        return random.randbytes(random.choice(_TOKEN_LENGTHS))
    return attack.peer.endpoint._tokens.issue(PEER, attack.peer.now)


def _caller(random: Random, attack: Attack) -> Made:
    """A NEW with a valid token, or the right proof for one of the challenges that it brought."""
    peer = attack.peer
    waiting = [
        call
        for call in peer.endpoint._calls.values()
        if isinstance(call, CalleeCall) and call.state is State.AUTHREQ_SENT
    ]
    if waiting and random.random() < 0.5:
        return _proof(attack, random.choice(waiting)), PEER
    exchanges = list(peer.endpoint.peers.registrar._exchanges.values())
    if exchanges and random.random() < 0.5:
        return _registering_proof(random, random.choice(exchanges)), PEER
    token = peer.endpoint._tokens.issue(PEER, peer.now - random.choice((0, 0, 5, 11, -1)))
    frame = FullFrame(
        random.choice((peer.call_number, random.randrange(1, 0x8000))),
        0,
        0,
        0,
        0,
        FrameType.IAX,
        random.choice(_WITH_TOKEN),
        new_elements(token, username=random.choice(_USERNAMES)).encode(),
    )
    return frame.encode(), PEER


def _registering_proof(random: Random, exchange: RegistrarExchange) -> bytes:
    """What a registering peer answers, right or wrong, in its turn or not."""
    secret = random.choice((REGISTER_SECRET, b"another"))
    data = InformationElements.of(
        (ElementType.MD5_RESULT, md5_result(exchange._challenge, secret)),
        (ElementType.REFRESH, (random.choice((0, 1, 60, 65535)), 2)),
    ).encode()
    subclass = random.choice((IaxSubclass.REGREQ, IaxSubclass.REGREL, IaxSubclass.ACK))
    sequence = exchange._channel.sequence
    return FullFrame(
        exchange._channel.peer_call_number,
        exchange.call_number,
        random.randrange(1 << 32),
        sequence.iseqno,
        random.choice((sequence.oseqno, 0, 255)),
        FrameType.IAX,
        subclass,
        random.choice((data, data, data[: random.randrange(40)], b"")),
    ).encode()


def _proof(attack: Attack, call: CalleeCall) -> bytes:
    data = InformationElements.of(
        (ElementType.MD5_RESULT, md5_result(call._challenge, SECRET))
    ).encode()
    numbers = (call.peer_call_number, call.call_number)
    frame = FullFrame(*numbers, 5, 1, 1, FrameType.IAX, IaxSubclass.AUTHREP, data)
    return attack.peer.seal(frame.encode(), derive_key(call._challenge, SECRET))


def _in_turn(random: Random, attack: Attack) -> Made:
    """The next frame of a peer that knows the key and keeps the sequence, whatever it says."""
    _catch_up(random, attack)
    peer = attack.peer
    frame_type, subclass = random.choice(_OFTEN if random.random() < 0.7 else _NO_ENDS)
    if random.random() < _END_CHANCE:
        frame_type, subclass = FrameType.IAX, random.choice(_ENDS)
    octets = peer.frame(frame_type, subclass, _data(random)).encode()
    peer.oseqno = (peer.oseqno + 1) % 256
    return _sealed(attack, octets), PEER


def _rotation(random: Random, attack: Attack) -> Made:
    """An RTKEY, after which that peer mostly uses the new key, as it should."""
    _catch_up(random, attack)
    peer, key = attack.peer, random.randbytes(16)
    data = InformationElements.of((ElementType.CHALLENGE, key)).encode()
    datagram = _sealed(attack, peer.frame(FrameType.IAX, IaxSubclass.RTKEY, data).encode())
    peer.oseqno = (peer.oseqno + 1) % 256
    if peer.key is not None and random.random() < 0.9:
        peer.encrypt_with(key)
    return datagram, PEER


def _out_of_turn(random: Random, attack: Attack) -> Made:
    """A frame of that peer with some of its header wrong."""
    octets = bytearray(attack.peer.frame(*random.choice(FRAMES), _data(random)).encode())
    for _ in range(random.randrange(1, 4)):
        octets[random.randrange(2, 12)] = random.randrange(256)
    return _sealed(attack, bytes(octets)), PEER


def _flipped(random: Random, attack: Attack) -> Made:
    """A frame of that peer that somebody on the way changed or cut."""
    datagram = bytearray(_in_turn(random, attack)[0])
    for _ in range(random.randrange(1, 4)):
        datagram[random.randrange(len(datagram))] ^= 1 << random.randrange(8)
    return bytes(datagram[: random.choice((len(datagram), len(datagram), 20, 3))]), PEER


def _mini(random: Random, attack: Attack) -> Made:
    """A mini frame, right or of another time, size or call."""
    peer = attack.peer
    number = random.choice((peer.call_number, peer.call_number, *_NUMBERS[:-1]))
    timestamp = (peer.elapsed_ms + random.choice((0, 20, 990, 1010, 40_000))) % 65536
    payload = random.choice((VOICE, VOICE, VOICE[:159], b"", random.randbytes(320)))
    octets = number.to_bytes(2, "big") + timestamp.to_bytes(2, "big") + payload
    return _sealed(attack, octets), _somebody(random)


def _in_clear(random: Random, attack: Attack) -> Made:
    """A frame in clear, fit for the call but for that."""
    _catch_up(random, attack)
    frame_type, subclass = random.choice(FRAMES)
    return attack.peer.frame(frame_type, subclass, _data(random)).encode(), _somebody(random)


def _again(random: Random, attack: Attack) -> Made:
    """Something that the endpoint itself has sent, back to it."""
    if not attack.answers:
        return _noise(random, attack)
    datagram = random.choice(attack.answers)
    if random.random() < 0.5 and datagram[0] & 0x80:
        datagram = datagram[2:4] + datagram[:2] + datagram[4:]
        datagram = bytes((datagram[0] | 0x80,)) + datagram[1:]
    return datagram, _somebody(random)


def _sealed(attack: Attack, octets: bytes) -> bytes:
    return octets if attack.peer.key is None else attack.peer.seal(octets)


def _catch_up(random: Random, attack: Attack) -> None:
    """Mostly acknowledge all, and follow the call that is current: so it lives long enough."""
    call = attack.peer.endpoint._calls.get(attack.peer.other_call_number)
    if call is not None and random.random() < 0.95:
        attack.peer.iseqno = call._channel.sequence.oseqno
        if random.random() < 0.9:
            attack.peer.oseqno = call._channel.sequence.iseqno


def _data(random: Random) -> bytes:
    return random.choice(ELEMENTS) if random.random() < 0.7 else _mutated(random)


def _mutated(random: Random) -> bytes:
    """Elements with something wrong in them: a length, an octet, or all of it."""
    block = bytearray(random.choice(ELEMENTS) + random.choice(ELEMENTS))
    if not block or random.random() < 0.2:
        return random.randbytes(random.choice((1, 2, 3, 40, 1024, 1025)))
    block[random.randrange(len(block))] = random.choice((0, 1, 127, 128, 254, 255))
    return bytes(block)


def _somebody(random: Random) -> Address:
    return PEER if random.random() < 0.7 else random.choice(STRANGERS)


_MAKERS: Final[tuple[Maker, ...]] = (
    _noise,
    _stranger,
    _caller,
    _in_turn,
    _rotation,
    _out_of_turn,
    _flipped,
    _mini,
    _in_clear,
    _again,
)
_WEIGHTS: Final = (8, 14, 3, 34, 1, 8, 10, 12, 6, 5)
