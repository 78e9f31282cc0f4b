"""Captures: what an eavesdropper on the link learns, and the same calls in clear for debugging."""

from bridge.audit.capture import CaptureError
from bridge.audit.decrypt import Decrypted, DecryptedCall, decrypt_capture, read_secrets

__all__ = ["CaptureError", "Decrypted", "DecryptedCall", "decrypt_capture", "read_secrets"]
