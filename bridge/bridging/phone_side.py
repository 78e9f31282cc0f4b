"""The phone's side of a bridged call: what was agreed with it, and whether it still lives."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from bridge.bridging.negotiation import (
    can_serve,
    local_media,
    remote_media,
    with_answered_key,
    with_offered_keys,
)
from bridge.iax2 import Format
from bridge.media.call_media import CallMedia
from bridge.media.link_audio import play_to_link
from bridge.media.remote import RemoteMedia
from bridge.media.sources import Source
from bridge.sip.sdes import KeyExchange, Srtp
from bridge.sip.sdp import AudioDescription, LocalMedia

HoldSource = Callable[[int], Source | None]
"""Makes what the far end hears in a format while the phone holds; None: what the phone sends."""


def nothing_on_hold(_format: int) -> Source | None:
    """Leave the far end to what the phone itself sends."""
    return None


@dataclass(frozen=True, slots=True)
class CallTimes:
    """How long a call may go on, in seconds.

    Attributes:
        rtp_timeout_s, hold_timeout_s: Without audio of the phone, while talking and on hold.
        duration_s: At all, from the moment at which it is up; None: as long as it likes.
    """

    rtp_timeout_s: float
    hold_timeout_s: float
    duration_s: float | None = None


class PhoneServices(Protocol):
    """What is configured of phones' media."""

    @property
    def media_address(self) -> str | None:
        """Our address for SDP where it is not the one that the phone reached."""

    @property
    def times(self) -> CallTimes:
        """How long a call may go on."""

    @property
    def hold_source(self) -> HoldSource:
        """What the far end hears while it holds the call."""


class PhoneSide:
    """Negotiates for one call's media.

    Args:
        media: What is told of each agreement.
        services: What is configured.

    Attributes:
        agreed: What the relay knows of the phone; None before the first agreement.
        look_at: When the call wants to be looked at again, see `why_over`.
    """

    def __init__(self, media: CallMedia, services: PhoneServices) -> None:
        self.agreed: RemoteMedia | None = None
        self._media = media
        self._media_address = services.media_address
        self._times = services.times
        self._hold_source = services.hold_source
        self._plays = False
        self._on_hold = False
        self._is_deaf = False
        self._may_be_quiet = False
        self._silent_since = 0.0
        self._up_since: float | None = None
        self._look_by = math.inf
        self.look_at = 0.0

    def local(
        self,
        local_host: str,
        formats: Sequence[Format],
        keys: KeyExchange,
        srtp: Srtp | None,
        rtp_port: int | None = None,
    ) -> LocalMedia:
        """Return what our SDP says to a phone that reached us at `local_host`.

        An answer under the keys agreed; with `srtp`, an offer that proposes or demands some. A
        phone that does not have the call yet has another `rtp_port` than the one that has it.
        """
        host = self._media_address or local_host
        local = local_media(host, rtp_port or self._media.rtp_port, formats)
        if srtp is None:
            return with_answered_key(local, keys)
        return with_offered_keys(local, keys, srtp)

    def agree(
        self,
        remote: AudioDescription,
        formats: Sequence[Format],
        host: str,
        keys: KeyExchange,
        now: float,
    ) -> bool:
        """Take what the phone says in SDP; False, and nothing changes, without a common codec.

        Args:
            remote: Its offer or answer.
            formats: Ours, best first.
            host: Where its SIP comes from.
            keys: Those of its leg.
            now: Seconds.

        Raises:
            SdesError: its keys are none that we can use.
        """
        if not can_serve(remote, formats):
            return False
        agreed = remote_media(remote, formats, host, keys.agree(remote.crypto))
        if agreed is not None:
            self.set(agreed, now)
        return agreed is not None

    def set(self, agreed: RemoteMedia, now: float) -> None:
        """Tell the media of an agreement."""
        self.agreed = agreed
        self._on_hold = not (agreed.sends and agreed.receives)
        # A hold without packets is no silence of the phone's: it begins to count anew.
        self.count_silence_from(now)
        self._media.set_remote(replace(agreed, receives=False) if self._is_deaf else agreed)
        self.play_on_hold()

    def play_on_hold(self) -> None:
        """Let the link hear hold music or no longer, where it is connected: the phone decides.

        A phone that does not want to hear the link holds the call (RFC 3264 section 8.4).
        """
        path, agreed = self._media.path, self.agreed
        if path is None or agreed is None or self._plays == (not agreed.receives):
            return
        source = None if agreed.receives else self._hold_source(path.format)
        if self._plays or source is not None:
            self._plays = source is not None
            play_to_link(self._media, source)

    def hear(self, now: float, *, nothing: bool = False) -> None:
        """Let the phone hear the link from now on, or nothing: it was told of no media yet."""
        self._is_deaf = nothing
        if self.agreed is not None:
            self.set(self.agreed, now)

    def wait(self, now: float, tone: Source | None) -> None:
        """Let the link hear a tone, or the hold music that it hears, until there is another phone.

        The one that had the call has hung up, and is not missed.
        """
        self.hear(now, nothing=True)
        self._may_be_quiet = True
        if tone is not None and not self._plays:
            self._plays = True
            play_to_link(self._media, tone)

    def change(self, *, may_be_quiet: bool = False) -> None:
        """Let another phone take the place of this one; what is agreed with it comes next.

        One that `may_be_quiet` is not missed when it sends no audio.
        """
        self._may_be_quiet = may_be_quiet
        self.look_at = 0.0
        self._is_deaf = self._plays = False
        play_to_link(self._media, None)

    def part(self, now: float, format_as: Format | None = None) -> None:
        """Let phone and link hear nothing of each other, for the rest of the call.

        Args:
            now: Seconds.
            format_as: The link's codec where the phone has none that it can be translated to.
        """
        self._hold_source = nothing_on_hold
        if self._plays:
            self._plays = False
            play_to_link(self._media, None)
        if self.agreed is not None:
            media_format = self.agreed.format if format_as is None else format_as
            apart = replace(self.agreed, format=media_format, sends=False, receives=False)
            self.set(apart, now)

    def count_silence_from(self, now: float) -> None:
        """Let the phone be silent until now."""
        self._silent_since = now
        self.look_at = 0.0

    def look_by(self, when: float) -> None:
        """Let the call be looked at by then, as somebody else waits for something."""
        self._look_by = when
        self.look_at = min(self.look_at, when)

    def why_over(self, now: float) -> str | None:
        """Return why a call that is up has to end, None as long as it need not.

        To be asked from the moment on at which the call is up, and again from `look_at` on: the
        phone's audio moves the end of the call without a word, but never nearer.
        """
        times = self._times
        if self._up_since is None:
            self._up_since = now
        timeout_s = times.hold_timeout_s if self._on_hold else times.rtp_timeout_s
        last_at = max(self._media.last_rtp_at or 0.0, self._silent_since)
        silent_until = math.inf if self._may_be_quiet else last_at + timeout_s
        up_until = math.inf if times.duration_s is None else self._up_since + times.duration_s
        self.look_at = min(silent_until, up_until, self._look_by)
        if now > silent_until:
            return "the phone sends no audio any more"
        if now >= up_until:
            return "the call has lasted as long as one may"
        return None
