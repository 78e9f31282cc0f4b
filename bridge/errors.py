"""The root of every exception that this project raises on purpose.

Texts of these errors never contain a dialed number, a caller id or a secret.
"""


class BridgeError(Exception):
    """Base of all errors of the bridge; its text may be shown to a user as it is."""
