"""Our own key is rotated within a call: RTKEY sent, lost, repeated, in both directions at once."""

from random import Random

import pytest

from bridge.iax2 import (
    Address,
    Call,
    CalleeCall,
    DigitReceived,
    Endpoint,
    KeyOrigin,
    KeyUse,
    User,
    VoiceReceived,
)
from bridge.iax2.channel import FrameChannel
from bridge.iax2.cipher import Opener, Sealer
from bridge.iax2.rotation import rotate
from bridge.iax2.states import State
from tests.lab.iax2_pair import SECRET, USERNAME, Pair, Sent, call_profile
from tests.lab.iax2_wire import FAR, NEAR, START

REKEY_S = 30.0
RTKEY_OCTETS = 52
VOICE = bytes(range(160))


def answered(
    *, near: float | None = REKEY_S, far: float | None = None
) -> tuple[Pair, Call, CalleeCall]:
    """Return a pair whose sides rotate after so many seconds, and both legs of its call."""
    pair = Pair()
    user = User(USERNAME, (SECRET,), rekey_s=far)
    pair.far = Endpoint([user], entropy=Random(3).randbytes)
    return pair, *pair.answered(call_profile(rekey_s=near))


def digits(pair: Pair, side: Address) -> str:
    return "".join(event.digit for event in pair.told(side, DigitReceived))


def rtkeys(pair: Pair, side: Address) -> list[Sent]:
    """Return a side's frames of RTKEY's size, which ACCEPT alone has too, at the start."""
    return [
        each
        for each in pair.wire
        if each.source == side and each.at > START and len(each.data) == RTKEY_OCTETS
    ]


def test_no_key_is_rotated_by_default() -> None:
    pair = Pair()
    near, far = pair.answered()
    pair.elapse(3600)
    assert not rtkeys(pair, NEAR)
    assert not rtkeys(pair, FAR)
    for call in (near, far):
        assert call.keys is not None
        assert {use.origin for use in call.keys} == {KeyOrigin.HANDSHAKE}


def test_a_call_in_clear_has_no_keys() -> None:
    pair = Pair(swallow=lambda sent: sent.source == FAR)
    assert pair.place().keys is None


def test_a_key_is_sent_each_period_and_each_is_another() -> None:
    pair, near, far = answered()
    sealers = set()
    for number in range(1, 11):
        pair.elapse(REKEY_S)
        assert len(rtkeys(pair, NEAR)) == number
        assert near.keys is not None
        assert far.keys is not None
        assert near.keys.sending == KeyUse(KeyOrigin.OURS, pair.now)
        assert near.keys.receiving == KeyUse(KeyOrigin.HANDSHAKE, START)
        assert far.keys.receiving.origin is KeyOrigin.PEER
        assert far.keys.receiving.since >= pair.now - REKEY_S
        assert far.keys.sending.origin is KeyOrigin.HANDSHAKE
        sealers.add(near._channel.sealer)
        near.send_digit("5", pair.now)
        pair.exchange()
    assert len(sealers) == 10
    assert digits(pair, FAR) == "5" * 10
    assert far.statistics.dropped_implausible == near.statistics.dropped_implausible == 0


def test_both_directions_rotate_for_themselves() -> None:
    pair, near, far = answered(near=30.0, far=20.0)
    for _ in range(300):
        near.send_digit("1", pair.now)
        far.send_digit("2", pair.now)
        pair.elapse(1)
    assert (len(rtkeys(pair, NEAR)), len(rtkeys(pair, FAR))) == (10, 15)
    assert (digits(pair, FAR), digits(pair, NEAR)) == ("1" * 300, "2" * 300)
    assert far.statistics.dropped_implausible == near.statistics.dropped_implausible == 0


def test_voice_goes_under_the_new_key_at_once() -> None:
    pair, near, far = answered()
    for frame in range(1800):
        near.send_voice(VOICE, frame * 20, pair.now)
        pair.elapse(0.02)
    assert near.voice is not None
    assert near.voice.sealer is near._channel.sealer
    assert len(pair.told(FAR, VoiceReceived)) == 1800
    assert far.voice is not None
    assert far.voice.dropped_implausible == 0


def test_an_rtkey_whose_acknowledgement_is_lost_is_repeated_under_its_own_key() -> None:
    pair, near, _ = answered()
    pair.elapse(REKEY_S - 1)
    pair.swallow = lambda sent: sent.source == FAR and bool(rtkeys(pair, NEAR))
    pair.elapse(1)
    near.send_digit("5", pair.now)
    pair.elapse(2)
    assert len(rtkeys(pair, NEAR)) > 2
    pair.swallow = lambda _: False
    pair.elapse(4)
    near.send_digit("6", pair.now)
    pair.elapse(1)
    assert digits(pair, FAR) == "56"
    assert near.state is State.UP


def test_a_lost_rtkey_is_repeated_and_no_other_one_is_sent_meanwhile() -> None:
    pair, near, far = answered(near=1.0)
    pair.swallow = lambda sent: sent.source == NEAR
    pair.elapse(4)
    first = near._channel.sealer
    assert len(rtkeys(pair, NEAR)) > 2
    pair.swallow = lambda _: False
    while near._channel.sealer is first:
        told_at = pair.now
        assert told_at < START + 10
        pair.elapse(0.1)
    assert far.keys is not None
    assert far.keys.receiving.origin is KeyOrigin.PEER
    assert rtkeys(pair, NEAR)[-2].at == pytest.approx(told_at - 1, abs=0.1)


def test_a_frame_sent_before_a_rotation_is_repeated_behind_it() -> None:
    pair, near, _ = answered()
    pair.elapse(REKEY_S - 0.1)
    pair.swallow = lambda sent: sent.source == NEAR
    near.send_digit("1", pair.now)
    pair.elapse(0.12)
    assert rtkeys(pair, NEAR)
    pair.swallow = lambda _: False
    near.send_digit("2", pair.now)
    pair.elapse(5)
    near.send_digit("3", pair.now)
    pair.elapse(1)
    assert digits(pair, FAR) == "123"


def test_a_call_that_is_over_rotates_nothing() -> None:
    pair, near, _ = answered(near=5.0)
    near.hang_up(pair.now)
    pair.elapse(60)
    assert not rtkeys(pair, NEAR)


def test_no_key_is_sent_behind_a_hangup_that_does_not_arrive() -> None:
    pair, near, _ = answered(near=2.0)
    pair.swallow = lambda sent: sent.source == FAR
    pair.elapse(2.1)
    near.hang_up(pair.now)
    # The RTKEY, sent again, is acknowledged; the HANGUP never comes through.
    pair.swallow = lambda sent: sent.source == NEAR and len(sent.data) != RTKEY_OCTETS
    pair.elapse(1)
    sent = len(rtkeys(pair, NEAR))
    pair.elapse(60)
    assert near.state is State.ENDED
    assert len(rtkeys(pair, NEAR)) == sent


def test_a_channel_without_voice_rotates_as_well() -> None:
    sent: list[bytes] = []
    channel = FrameChannel(2, FAR, lambda datagram, _: sent.append(datagram))
    channel.encrypt_with(Sealer(bytes(16)), Opener(bytes(16)), START)
    first = channel.sealer
    rotate(channel, None, Endpoint(entropy=Random(1).randbytes), START + 7)
    assert channel.sealer is not first
    assert channel.sending == KeyUse(KeyOrigin.OURS, START + 7)
    assert len(sent[0]) == RTKEY_OCTETS
