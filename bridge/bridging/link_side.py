"""The link's side of a bridged call: what leaves in a slot, and how its audio was."""

from bridge.dialing.envelope import Cng, Control, Digit, Signal, Text
from bridge.iax2 import Call, ControlSubclass
from bridge.media.call_media import CallMedia


def send_signal(call: Call, signal: Signal, now: float, tag: object = None) -> None:
    """Send the signal of a slot; HangUp is the caller's to do.

    Raises:
        LocalProtocolError: the call is over.
    """
    match signal:
        case Cng():
            call.send_cng(now, tag)
        case Digit(value=digit):
            call.send_digit(digit, now, tag)
        case Control(subclass=subclass):
            call.send_control(ControlSubclass(subclass), now, tag)
        case Text(value=text):
            call.send_text(text, now, tag)


def summary(call: Call | None, media: CallMedia) -> dict[str, int]:
    """Count what became of a call's audio; nothing where it had none."""
    voice = call.voice if call else None
    if voice is None:
        return {}
    buffer = media.buffer
    return {
        "voice_sent": voice.sent,
        "voice_received": voice.received,
        "voice_lost": voice.lost,
        "voice_dropped": voice.dropped_size + voice.dropped_implausible,
        "buffer_late": buffer.late,
        "buffer_overruns": buffer.overruns,
        "buffer_slips": buffer.slips,
    }
