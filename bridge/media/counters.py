"""What happened to the packets of one call."""

from dataclasses import dataclass


@dataclass(slots=True)
class MediaCounters:
    """What happened to the packets of one call; the reorder buffer and the path count theirs.

    Attributes:
        received: Audio packets from the phone.
        sent, sent_octets: Packets to the phone, and octets of their payload.
        wrong_source, wrong_payload_type, wrong_size, malformed: Dropped, by reason.
        unused: Audio before the link was connected, or of a phone that said it sends none.
        unheard: Frames of the link while a tone or digit plays, or the phone is not to be sent to.
        late: Frames of the link that came twice or far too late.
        send_blocked, send_failed, receive_failed: Errors of sockets, ICMP and SRTP.
        digits_received, digits_sent: RFC 4733 events.
    """

    received: int = 0
    sent: int = 0
    sent_octets: int = 0
    wrong_source: int = 0
    wrong_payload_type: int = 0
    wrong_size: int = 0
    malformed: int = 0
    unused: int = 0
    unheard: int = 0
    late: int = 0
    send_blocked: int = 0
    send_failed: int = 0
    receive_failed: int = 0
    digits_received: int = 0
    digits_sent: int = 0
