"""The figures for Prometheus: what a status says of links, and labels that cannot grow."""

from dataclasses import replace

from prometheus_client.parser import text_string_to_metric_families

from bridge.iax2 import Reachability
from bridge.status.metrics import figures
from bridge.status.model import Grade, PeerRegistration, Status
from tests.lab.status_sample import CALL, LINK, REGISTERED_LINK, STATUS, TRUNK


def samples(status: Status) -> dict[tuple[str, tuple[str, ...]], float]:
    text = figures(status).decode()
    return {
        (sample.name, tuple(sorted(sample.labels.values()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_what_a_status_says() -> None:
    seen = samples(STATUS)
    assert seen["siax_uptime_seconds", ()] == 4000
    assert seen["siax_link_calls_total", ("hq",)] == 9
    assert seen["siax_link_live_calls", ("hq",)] == 1
    assert seen["siax_link_frames_sent_total", ("full_frames", "hq")] == 1
    assert seen["siax_link_frames_sent_total", ("hq", "retransmitted")] == 4
    assert seen["siax_link_frames_received_total", ("hq", "voice_frames")] == 90
    assert seen["siax_link_frames_dropped_total", ("hq", "wrong_size")] == 5
    assert seen["siax_link_voice_frames_lost", ("hq",)] == 10
    assert seen["siax_datagrams_outside_calls_total", ("malformed",)] == 2
    assert seen["siax_phone_calls_total", ("taken",)] == 9


def test_what_is_known_of_the_peer() -> None:
    unasked = replace(LINK, link="unasked", reachability=None, rtt_ms=None, jitter_ms=None)
    seen = samples(replace(STATUS, links=(LINK, unasked)))
    about = {labels: n for (name, labels), n in seen.items() if name == "siax_link_reachability"}
    assert about == {
        tuple(sorted(("hq", state.name.lower()))): float(state is Reachability.LATE)
        for state in Reachability
    }
    assert seen["siax_link_rtt_seconds", ("hq",)] == 2.1005
    assert seen["siax_link_jitter_seconds", ("hq",)] == 0.004
    assert not {name for name, labels in seen if "unasked" in labels and name.endswith("seconds")}


def test_registrations_have_a_figure_where_there_are_any() -> None:
    lost = replace(REGISTERED_LINK, link="lost", peer_registration=PeerRegistration(None, 0))
    seen = samples(replace(STATUS, links=(LINK, REGISTERED_LINK, lost)))
    figures_seen = {labels: n for (name, labels), n in seen.items() if name.endswith("registered")}
    assert figures_seen == {
        ("hq", "ours"): 1,
        ("hq", "peer's"): 1,
        ("lost", "ours"): 1,
        ("lost", "peer's"): 0,
    }


def test_trunks_have_figures_of_their_own() -> None:
    down = replace(TRUNK, trunk="other", is_up=False)
    seen = samples(replace(STATUS, trunks=(TRUNK, down)))
    assert seen["siax_trunk_up", ("provider",)] == 1
    assert seen["siax_trunk_up", ("other",)] == 0
    assert seen["siax_trunk_live_calls", ("provider",)] == 2
    assert seen["siax_trunk_calls_total", ("provider",)] == 7


def test_one_grade_is_the_links() -> None:
    grades = {
        grade: samples(STATUS)["siax_link_grade", tuple(sorted(("hq", grade.value)))]
        for grade in Grade
    }
    assert grades == {grade: float(grade is Grade.GOOD) for grade in Grade}


def test_calls_add_no_series() -> None:
    many = replace(STATUS, calls=tuple(replace(CALL, call=number) for number in range(500)))
    assert samples(many).keys() == samples(STATUS).keys()


def test_each_link_has_its_own() -> None:
    two = samples(replace(STATUS, links=(LINK, replace(LINK, link="spare", calls=3))))
    assert two["siax_link_calls_total", ("hq",)] == 9
    assert two["siax_link_calls_total", ("spare",)] == 3
