"""How many calls there may be, as the file says it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from bridge import parts
from bridge.bridging.limits import CallLimits
from bridge.bridging.phone_side import CallTimes
from bridge.config import ConfigurationError, Loaded, load_configuration
from bridge.config.report import plain_report
from bridge.config.secret import new_secret
from bridge.iax2 import ChallengeMemory

Load = Callable[[str], Loaded]
LINK = "peer: hq, username: b, secret: {env: HQ}"


@pytest.fixture
def load(tmp_path: Path) -> Load:
    def load_text(text: str) -> Loaded:
        path = tmp_path / "siax.yaml"
        path.write_text(f"{text}\nemergency: none\n")
        return load_configuration(path, {"HQ": new_secret()})

    return load_text


def test_no_limits_unless_asked_for(load: Load) -> None:
    loaded = load(f"links: {{hq: {{{LINK}}}}}")
    assert parts.call_limits(loaded.configuration) == CallLimits()
    assert parts.call_times(loaded.configuration) == CallTimes(60, 3600)
    report = plain_report(loaded)
    assert "none but the ports for audio" in report
    assert "as many calls as there may be in all" in report


def test_all_of_them(load: Load) -> None:
    loaded = load(
        "limits: {calls_max: 200, phone_calls_max: 4, phone_calls_per_s: 2, duration_s: 14400}\n"
        f"links: {{hq: {{{LINK}, calls_max: 30}}}}"
    )
    assert parts.call_limits(loaded.configuration) == CallLimits(200, 4, 2)
    assert parts.call_times(loaded.configuration) == CallTimes(60, 3600, 14400)
    link = parts.link("hq", loaded.configuration.links["hq"], ChallengeMemory(bytes))
    assert link.calls_max == 30
    report = plain_report(loaded)
    assert "200 calls at a time; 4 at a time placed by one phone; 2 a second by one phone" in report
    assert "; 14400 s for each call" in report
    assert "30 calls, in both directions together; one more gets 503" in report


def test_each_error_has_its_place(load: Load) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load(
            "limits:\n  calls_max: 0\n  phone_calls_max: many\n  phone_calls_per_s: 1.5\n"
            f"  duration_s: 0.5\n  calls: 3\nlinks: {{hq: {{{LINK}, calls_max: -1}}}}"
        )
    assert [str(problem).partition("siax.yaml:")[2] for problem in caught.value.problems] == [
        "2: limits.calls_max: expected a whole number from 1 to 32000",
        "3: limits.phone_calls_max: expected a whole number from 1 to 32000",
        "4: limits.phone_calls_per_s: expected a whole number from 1 to 1000",
        "5: limits.duration_s: expected seconds from 1 to 604800",
        "6: limits.calls: unknown key; did you mean 'calls_max'?",
        "7: links.hq.calls_max: expected a whole number from 1 to 32000",
    ]
