"""What drives the media relay: its clock, and the packets of calls that are not paced yet.

All calls' RTP sockets hang in epoll objects that the relay owns, so that a thousand calls need one
alarm and one descriptor and no more.
"""

from bridge.media.relay import Relay
from bridge.net.alarm import Alarm
from bridge.net.sources import Sources


def media_sources(relay: Relay) -> Sources:
    """Return what a relay waits for; from now on it sets its alarm itself.

    The clock wakes for the slots of paced calls, whose packets the relay reads then.
    """
    alarm = Alarm()

    def set_alarm() -> None:
        alarm.set(relay.next_tick())

    def tick(now: float) -> None:
        relay.tick(now)
        set_alarm()

    relay.on_schedule = set_alarm
    set_alarm()
    return Sources({relay.fileno(): relay.rtp_readable}, ((alarm, tick),))
