"""Rotation of our own key within a call: when the next one is due, and whose keys are in use."""

from typing import Final, NamedTuple

from bridge.iax2.channel import FrameChannel
from bridge.iax2.cipher import KEY_OCTETS, Sealer
from bridge.iax2.keys import KeyUse
from bridge.iax2.services import CallServices
from bridge.iax2.timers import Timer, Timers
from bridge.iax2.voice import VoicePath

ROTATION: Final = object()
"""Tag of an RTKEY whose acknowledgement lets the next one be due."""


class CallKeys(NamedTuple):
    """Whence the keys of a call's two directions are, and since when they are used."""

    sending: KeyUse
    receiving: KeyUse


def keys_in_use(channel: FrameChannel) -> CallKeys | None:
    """Return what is known of a call's keys, None while it is in clear."""
    if channel.sending is None or channel.keys is None:
        return None
    return CallKeys(channel.sending, channel.keys.use)


def schedule_rotation(timers: Timers, period_s: float | None, now: float) -> None:
    """Let the next rotation be due after a period; None is never."""
    if period_s is not None:
        timers.start(Timer.REKEY, now + period_s)


def rotate(
    channel: FrameChannel, voice: VoicePath | None, services: CallServices, now: float
) -> None:
    """Send RTKEY with 16 random octets, and encrypt with them from here on.

    The next one is due a period after this one's acknowledgement: a peer is never left with two
    keys that it may not know.
    """
    key = services.entropy(KEY_OCTETS)
    sealer = Sealer(key, services.padding)
    channel.rotate(key, sealer, now, ROTATION)
    if voice is not None:
        voice.sealer = sealer
