"""What is counted of a call's full frames."""

from dataclasses import dataclass


@dataclass(slots=True)
class ChannelStatistics:
    """Counts of full frames as seen on the wire; voice is counted in VoicePath."""

    sent_encrypted: int = 0
    sent_clear: int = 0
    received_encrypted: int = 0
    received_clear: int = 0
    retransmitted: int = 0
    repeated_challenges: int = 0
    out_of_order: int = 0
    dropped_clear: int = 0
    ends_in_clear: int = 0
    accepted_in_clear: int = 0
    dropped_implausible: int = 0
    dropped_malformed: int = 0
    dropped_illegal: int = 0
