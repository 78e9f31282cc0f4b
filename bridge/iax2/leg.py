"""What a call leg has and what is known of it, whatever it does: numbers, state, measurements."""

from itertools import count

from bridge.iax2.auth import Address
from bridge.iax2.channel import FrameChannel
from bridge.iax2.reports import ReceptionReport
from bridge.iax2.rotation import CallKeys, keys_in_use
from bridge.iax2.services import CallServices
from bridge.iax2.states import State
from bridge.iax2.statistics import ChannelStatistics
from bridge.iax2.timers import Timers
from bridge.iax2.voice import VoicePath

_call_ids = count(1)


class CallLeg:
    """What is known of a call leg.

    Attributes:
        id: Identifies the call in logs; says nothing about who calls whom.
        address: The peer's.
        state: Where the leg stands.
        voice: The fast path for audio, from ACCEPT on.
        far_reception: What the peer told last of how our voice arrives there.
        lag_s: How long the last LAGRQ took to come back, None until one has.
    """

    def __init__(self, services: CallServices, call_number: int, address: Address) -> None:
        self.id = next(_call_ids)
        self.address = address
        self.filed: list[float] = []
        self.state = State.INITIAL
        self.voice: VoicePath | None = None
        self.far_reception: ReceptionReport | None = None
        self.lag_s: float | None = None
        self._services = services
        self._channel = FrameChannel(call_number, address, services.transmit, services.watch)
        self._timers = Timers()
        self._rekey_s: float | None = None
        self._end_told = False
        self._probe_at = 0.0

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id} {self.state.name}>"

    @property
    def call_number(self) -> int:
        """Our call number."""
        return self._channel.call_number

    @property
    def peer_call_number(self) -> int:
        """The peer's call number, 0 while unknown."""
        return self._channel.peer_call_number

    @property
    def is_encrypted(self) -> bool:
        """Whether every frame is encrypted now, both ways."""
        return self._channel.keys is not None

    @property
    def keys(self) -> CallKeys | None:
        """Whence the keys of both directions are, and since when; None while in clear."""
        return keys_in_use(self._channel)

    @property
    def rtt_s(self) -> float | None:
        """The smoothed round-trip time, None until measured."""
        return self._channel.sequence.rtt_s

    @property
    def reception(self) -> ReceptionReport:
        """How the peer's voice arrives here."""
        return ReceptionReport.of(self.voice)

    @property
    def statistics(self) -> ChannelStatistics:
        """What was seen of full frames."""
        return self._channel.statistics
