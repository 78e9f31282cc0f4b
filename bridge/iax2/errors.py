"""What the engine raises: at its caller for misuse, inside itself for what a peer sends."""

from bridge.errors import BridgeError


class Iax2Error(BridgeError):
    """Base of the engine's errors."""


class FrameError(Iax2Error):
    """Octets from the network that are no IAX2 frame; the only error of a parser."""


class LocalProtocolError(Iax2Error):
    """The caller asked for what the state of the call does not allow; nothing was changed."""


class RemoteProtocolError(Iax2Error):
    """The peer broke the protocol or tried to lower the security of a call."""
