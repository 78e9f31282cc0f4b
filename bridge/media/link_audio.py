"""Local audio toward the link, in the place of the phone's.

Every frame leaves on the call's clock either way, so nobody on the link sees which one it is.
"""

from bridge.media.call_media import CallMedia
from bridge.media.sources import Source


def play_to_link(media: CallMedia, source: Source | None) -> None:
    """Let the link hear local audio in its own format, or, with None, the phone again."""
    media.buffer.clear()
    media.pull = media.buffer.pull if source is None else source.next_frame
    if source is None:
        media.use_buffer(media.buffer)  # and let digits be heard in it, where that is wanted
