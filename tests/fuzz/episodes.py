"""Episodes of an attack on an endpoint: one phase of a call, one seed, a few hundred inputs.

An episode that fails is run again from its seed, and its last frames are printed.
"""

from dataclasses import dataclass
from random import Random
from typing import Final

from bridge.iax2.states import OVER
from tests.fuzz.datagrams import STRANGERS, make
from tests.lab.iax2_attack import PHASES, Attack
from tests.lab.iax2_pair import SECRET
from tests.lab.iax2_peer import PEER
from tests.lab.iax2_trace import FrameTrace

INPUTS_AN_EPISODE: Final = 400
_CHECK_EVERY: Final = 16
_TRACED: Final = 60
_COMMAND_CHANCE: Final = 0.008
_TIME_CHANCE: Final = 0.02
_PAUSES_S: Final = (0.02, 0.02, 0.02, 0.02, 0.1, 0.1, 0.1, 0.5, 0.5, 3.0, 11.0)
_AFTERWARDS: Final = 25
"""Inputs behind the end of the call that the episode is about."""
_PHASES: Final = tuple(PHASES)


class EndpointBrokeError(Exception):
    """An input made the endpoint raise or leave its bounds."""


@dataclass(frozen=True, slots=True)
class Episode:
    """What one seed does: in which phase it begins is part of the seed."""

    seed: int

    @property
    def phase(self) -> str:
        """Where the call stands at first; all phases take turns."""
        return _PHASES[self.seed % len(_PHASES)]

    def run(self, trace: FrameTrace | None = None) -> int:
        """Attack, and return how many datagrams were sent.

        Raises:
            AssertionError: a bound was left. Whatever else it raises, the endpoint raised.
        """
        random = Random(self.seed)
        attack = Attack(PHASES[self.phase](), trace=trace)
        if trace is not None:
            trace.keys = attack.peer.keys
        number = afterwards = 0
        while number < INPUTS_AN_EPISODE and afterwards < _AFTERWARDS:
            number += 1
            attack.give(*make(random, attack))
            afterwards += self._is_over(attack)
            if random.random() < _COMMAND_CHANCE:
                attack.command(random)
            if random.random() < _TIME_CHANCE:
                attack.pass_time(random.choice(_PAUSES_S))
            if not number % _CHECK_EVERY:
                attack.check_bounds()
        attack.check_the_end()
        self._check_silence(attack)
        return number

    def _is_over(self, attack: Attack) -> bool:
        """Tell whether nothing is left of the call, so that an episode must not go on for long."""
        call = attack.peer.endpoint._calls.get(attack.peer.other_call_number)
        return self.phase != "no call" and (call is None or call.state in OVER)

    def _check_silence(self, attack: Attack) -> None:
        """See that no call was opened to a source that never had a token."""
        assert set(attack.sent_octets) <= {PEER, *STRANGERS}

    def explain(self) -> EndpointBrokeError | None:
        """Run, and return what broke with the frames before it; None where all held."""
        trace = FrameTrace(SECRET, newest=_TRACED)
        try:
            self.run(trace)
        except Exception as error:  # noqa: BLE001 - whatever the endpoint raises is a defect
            frames = "\n".join(trace.lines())
            broke = EndpointBrokeError(f"seed {self.seed}, phase {self.phase}: {error!r}\n{frames}")
            broke.__cause__ = error
            return broke
        return None


def run_episodes(first_seed: int, episodes: int) -> int:
    """Run that many episodes and return how many inputs they were.

    Raises:
        EndpointBrokeError: with the seed and the frames that led to it.
    """
    inputs = 0
    for seed in range(first_seed, first_seed + episodes):
        try:
            inputs += Episode(seed).run()
        except Exception as error:
            raise Episode(seed).explain() or EndpointBrokeError(
                f"seed {seed} broke, but not again: {error!r}"
            ) from error
    return inputs
