"""A status as figures for Prometheus: labels are links, kinds and reasons, never a call."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Final

from prometheus_client import generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from bridge.iax2 import Reachability
from bridge.status.model import Grade, LinkStatus, Status, TrunkStatus

_Samples = Iterator[tuple[tuple[str, ...], float]]
_LINK: Final = ("link",)


def figures(status: Status) -> bytes:
    """Return the figures in Prometheus' text format."""
    return generate_latest(_Figures(status))


class _Figures(Collector):
    def __init__(self, status: Status) -> None:
        self._status = status

    def collect(self) -> Iterator[Metric]:
        status, links = self._status, self._status.links
        yield GaugeMetricFamily(
            "siax_uptime_seconds", "Since the service was ready.", status.uptime_s
        )
        yield from _of_calls(links)
        yield from _of_peers(links)
        yield from _of_registrations(links)
        yield from _of_trunks(status.trunks)
        yield _counter(
            "siax_link_frames_sent",
            "Frames sent: encrypted full ones, encrypted voice, full ones in clear, sent again.",
            ("link", "kind"),
            _by_kind((link.link, asdict(link.sent)) for link in links),
        )
        yield _counter(
            "siax_link_frames_received",
            "Frames received and believed.",
            ("link", "kind"),
            _by_kind((link.link, _received(link)) for link in links),
        )
        yield _counter(
            "siax_link_frames_dropped",
            "Frames received and not believed.",
            ("link", "reason"),
            _by_kind((link.link, asdict(link.received.dropped)) for link in links),
        )
        yield _counter(
            "siax_datagrams_outside_calls",
            "Datagrams that belong to no call.",
            ("reason",),
            (((reason,), count) for reason, count in status.outside_calls.items()),
        )
        yield _counter(
            "siax_phone_calls",
            "Phones' calls, taken and refused by reason.",
            ("outcome",),
            (((outcome,), count) for outcome, count in status.phones.items()),
        )


def _of_calls(links: Sequence[LinkStatus]) -> Iterator[Metric]:
    yield _counter(
        "siax_link_calls",
        "Calls since the start.",
        _LINK,
        (((each.link,), each.calls) for each in links),
    )
    yield _gauge(
        "siax_link_live_calls",
        "Calls now.",
        _LINK,
        (((each.link,), each.live_calls) for each in links),
    )
    yield _gauge(
        "siax_link_voice_frames_lost",
        "Voice frames missing by their timestamps; a late one is missing no more.",
        _LINK,
        (((each.link,), each.received.lost_voice_frames) for each in links),
    )
    yield _gauge(
        "siax_link_grade",
        "1 for the grade that the link has, as siax status shows it.",
        ("link", "grade"),
        (
            ((each.link, grade.value), float(each.verdict.grade is grade))
            for each in links
            for grade in Grade
        ),
    )


def _of_peers(links: Sequence[LinkStatus]) -> Iterator[Metric]:
    """What POKEs found; a link that sends none has no series."""
    yield _gauge(
        "siax_link_reachability",
        "1 for what the last POKE found, as siax status shows it.",
        ("link", "state"),
        (
            ((each.link, state.name.lower()), float(each.reachability is state))
            for each in links
            if each.reachability is not None
            for state in Reachability
        ),
    )
    yield _gauge(
        "siax_link_rtt_seconds",
        "Smoothed round trip of POKEs that were answered.",
        _LINK,
        (((each.link,), each.rtt_ms / 1000) for each in links if each.rtt_ms is not None),
    )
    yield _gauge(
        "siax_link_jitter_seconds",
        "The worst of the link's live calls, as the peer's voice arrives.",
        _LINK,
        (((each.link,), each.jitter_ms / 1000) for each in links if each.jitter_ms is not None),
    )


def _of_registrations(links: Sequence[LinkStatus]) -> Iterator[Metric]:
    yield _gauge(
        "siax_link_registered",
        "Whether a registration stands: ours with the peer, or the peer's with us.",
        ("link", "whose"),
        (
            ((each.link, whose), float(registration.expires_in_s is not None))
            for each in links
            for whose, registration in (
                ("ours", each.our_registration),
                ("peer's", each.peer_registration),
            )
            if registration is not None
        ),
    )


def _of_trunks(trunks: Sequence[TrunkStatus]) -> Iterator[Metric]:
    label = ("trunk",)
    yield _gauge(
        "siax_trunk_up",
        "Whether the SIP trunk has us registered, or answers where we do not register.",
        label,
        (((each.trunk,), float(each.is_up)) for each in trunks),
    )
    yield _gauge(
        "siax_trunk_live_calls",
        "Calls now.",
        label,
        (((each.trunk,), each.live_calls) for each in trunks),
    )
    yield _counter(
        "siax_trunk_calls",
        "Calls placed since the start.",
        label,
        (((each.trunk,), each.calls) for each in trunks),
    )


def _received(link: LinkStatus) -> dict[str, int]:
    received = link.received
    return {
        "full_frames": received.full_frames,
        "voice_frames": received.voice_frames,
        "clear_frames": received.clear_frames,
    }


def _by_kind(counts: Iterator[tuple[str, dict[str, int]]]) -> _Samples:
    return (((link, kind), count) for link, kinds in counts for kind, count in kinds.items())


def _counter(name: str, text: str, labels: Sequence[str], samples: _Samples) -> Metric:
    family = CounterMetricFamily(name, text, labels=labels)
    for values, count in samples:
        family.add_metric(values, count)
    return family


def _gauge(name: str, text: str, labels: Sequence[str], samples: _Samples) -> Metric:
    family = GaugeMetricFamily(name, text, labels=labels)
    for values, value in samples:
        family.add_metric(values, value)
    return family
