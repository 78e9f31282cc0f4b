"""The trio tasks around the media relay: one keeps its clock, one waits for its sockets.

Owns waiting, and nothing of what happens then. All calls' RTP sockets hang in epoll objects that
the relay owns, so that a thousand calls need these two tasks and no more.
"""

import trio

from bridge.media.relay import Relay
from bridge.net.alarm import Alarm


async def run_media(
    relay: Relay, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    """Drive a relay until cancelled.

    The clock wakes for the slots of paced calls, whose packets the relay reads then. The other
    task wakes for packets of calls that are not paced yet.
    """
    alarm = Alarm()

    def set_alarm() -> None:
        alarm.set(relay.next_tick())

    def tick(now: float) -> None:
        relay.tick(now)
        set_alarm()

    relay.on_schedule = set_alarm
    set_alarm()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(alarm.run, tick)
        nursery.start_soon(_wait_for_packets, relay)
        task_status.started()


async def _wait_for_packets(relay: Relay) -> None:
    while True:
        await trio.lowlevel.wait_readable(relay.fileno())
        relay.rtp_readable(trio.current_time())
