"""How two bridges know each other: a TEXT frame inside the encryption, in a signal slot.

The side that takes a call greets in its first slot; a caller whose phone is to see what the far
phone does greets back behind its digits. Who greets not, counts as Asterisk. Asterisk hands such a
text on to whom it has called, or drops it.
"""

from typing import Final

GREETING: Final = b"siax/1"
"""With its NUL seven octets: on the wire it looks as a digit or comfort noise does."""
