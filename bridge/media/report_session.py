"""The RTCP of one call: what we tell the phone about its stream and ours, and what it tells us.

Owns when a report is a sender's and what stands in it. Must not know sockets or addresses. Its
clock is the caller's, not the wall's: reports need one that is steady, and ours tells nobody when
we were started.
"""

from bridge.media.rtcp import (
    ReceptionStatistics,
    Report,
    SenderInfo,
    build_report,
    ntp_timestamp,
    parse_rtcp_untrusted,
    random_cname,
    round_trip_s,
)


class ReportSession:
    """Reports of one RTP session with one phone.

    Packets are counted when they are read, for a paced call just before its slot: the jitter told
    is therefore what remains of it on our grid.

    Attributes:
        statistics: Of the phone's present stream.
        round_trip_s: As of the phone's last report that allowed to tell.
        reported_lost: Packets of ours that the phone says it missed.
    """

    __slots__ = (
        "_cname",
        "_phone_ssrc",
        "_sent_at_reports",
        "_ssrc",
        "reported_lost",
        "round_trip_s",
        "statistics",
    )

    def __init__(self, ssrc: int) -> None:
        self._ssrc = ssrc
        self._cname = random_cname()
        self._phone_ssrc: int | None = None
        self._sent_at_reports = (0, 0)
        self.statistics = ReceptionStatistics()
        self.round_trip_s: float | None = None
        self.reported_lost = 0

    def change_source(self, phone_ssrc: int) -> None:
        """Count anew: the phone has begun another stream."""
        self._phone_ssrc = phone_ssrc
        self.statistics = ReceptionStatistics()

    def receive(self, datagram: bytes, now: float) -> None:
        """Take the phone's compound packet.

        Raises:
            RtcpError: It is none.
        """
        for report in parse_rtcp_untrusted(datagram):
            if report.sender is not None and report.ssrc == self._phone_ssrc:
                self.statistics.sender_reported(report.sender, now)
            self._take_blocks(report, now)

    def build(self, now: float, rtp_timestamp: int, sent: tuple[int, int]) -> bytes:
        """Return our next compound packet.

        Args:
            now: Seconds.
            rtp_timestamp: Of our stream, now.
            sent: Packets and octets of payload so far.

        RFC 3550 section 6.4: a sender's report, where anything was sent in two intervals.
        """
        packets, octets = sent
        sender = None
        if packets != self._sent_at_reports[0]:
            sender = SenderInfo(ntp_timestamp(now), rtp_timestamp, packets, octets)
        self._sent_at_reports = (self._sent_at_reports[1], packets)
        blocks = []
        if self._phone_ssrc is not None and self.statistics.received:
            blocks.append(self.statistics.report_block(self._phone_ssrc, now))
        return build_report(self._ssrc, self._cname, sender, blocks)

    def _take_blocks(self, report: Report, now: float) -> None:
        for block in report.blocks:
            if block.ssrc == self._ssrc:
                self.reported_lost = block.lost
                round_trip = round_trip_s(block, ntp_timestamp(now))
                self.round_trip_s = self.round_trip_s if round_trip is None else round_trip
