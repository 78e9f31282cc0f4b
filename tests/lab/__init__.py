"""The lab: real Asterisk peers, a scripted SIP phone, captures and the bridge as a process.

Support code for the interop, e2e and bench tests; nothing of `bridge` may import it.
"""


class LabError(Exception):
    """Something that a proof needs is missing or did not start; the text says what to do."""
