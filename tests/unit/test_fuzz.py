"""A small and fixed part of `make fuzz`, and that it would notice what it looks for."""

import pytest

from bridge.iax2 import endpoint as endpoint_module
from bridge.iax2.reports import ReceptionReport
from tests.fuzz.episodes import EndpointBrokeError, Episode, run_episodes
from tests.lab.iax2_attack import PHASES

EPISODES = 20 * len(PHASES)


def test_the_endpoint_stands_the_first_episodes() -> None:
    assert run_episodes(0, EPISODES) > 100 * EPISODES


def test_an_episode_is_the_same_each_time() -> None:
    first, second = Episode(7).run(), Episode(7).run()
    assert first == second


def test_a_reply_of_too_many_octets_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint_module, "_AMPLIFICATION_NUMERATOR", 100)
    with pytest.raises(EndpointBrokeError, match="seed"):
        run_episodes(0, EPISODES)


def test_an_endpoint_that_raises_is_noticed_and_its_frames_can_be_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_arguments: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(ReceptionReport, "elements", fail)
    with pytest.raises(EndpointBrokeError, match="ZeroDivisionError") as caught:
        run_episodes(0, EPISODES)
    last_line = str(caught.value).splitlines()[-1]
    assert "192.0.2.9 > 192.0.2.1" in last_line
    assert "PING" in last_line
    assert "oseq" in last_line
