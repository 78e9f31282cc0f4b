"""What each issue promises to prove, and which test proves it: data alone."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Proof:
    """One promise.

    Attributes:
        claim: What is proved, as it stands in docs/testing.md.
        tests: What pytest is given; or
        command: the module and arguments that Python is given instead.
    """

    claim: str
    tests: tuple[str, ...] = ()
    command: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """What a result is known by."""
        return " ".join(self.tests or self.command)


_INTEROP = "tests/interop"
_CALLS = f"{_INTEROP}/test_calls_to_asterisk.py::"
_REFUSALS = f"{_INTEROP}/test_refusals.py::"
_SIGNALS = f"{_INTEROP}/test_signals_through_asterisk.py::"

ISSUE_A = (
    Proof(
        "Every frame of the captures of real calls decodes to what stands beside it and encodes"
        " back octet for octet",
        ("tests/vectors",),
    ),
    Proof(
        "1,000 seeded calls with 10 % loss, 5 % duplication and reordering each way: at least 999"
        " set up, all digits once and in order, no call number leaks",
        ("tests/simulation",),
    ),
    Proof(
        "Real Asterisk reads exactly the digits, of 3, 11 and 24; its audio comes back with less"
        " than 0.1 % loss (where the machine was late, frames that the reorder buffer gave up are"
        " not counted); the link is encrypted and shows neither number nor caller",
        (f"{_CALLS}test_exactly_the_digits_arrive_and_audio_comes_back",),
    ),
    Proof(
        "100 random numbers of 1 to 25 digits, one after the other, arrive as they were dialed",
        (f"{_CALLS}test_random_numbers_one_after_the_other",),
    ),
    Proof(
        "The loopback device shows neither number nor caller in any packet of the link",
        (f"{_CALLS}test_nothing_shows_on_the_device_either",),
    ),
    Proof(
        "A signal in each slot of 500 ms for 10 minutes harms nothing",
        (f"{_CALLS}test_a_signal_in_every_slot_harms_nothing",),
    ),
    Proof(
        "Secrets that differ: 503 within 6 s, and the log names the cause",
        (f"{_REFUSALS}test_secrets_that_differ",),
    ),
    Proof(
        "A peer without encryption: 503, no digest of the secret leaves, the log names the cause",
        (f"{_REFUSALS}test_a_peer_without_encryption",),
    ),
    Proof(
        "A peer that is absent: 503 with Retry-After after 8 s, the log names the cause",
        (f"{_REFUSALS}test_an_absent_peer",),
    ),
    Proof(
        "In-call digits through an Asterisk that bridges on to a SIP phone arrive there as"
        " RFC 4733, each once",
        (f"{_SIGNALS}test_in_call_digits_arrive_as_rfc_4733_each_once",),
    ),
    Proof(
        "CONTROL BUSY after the answer is heard as the busy tone",
        (f"{_SIGNALS}test_busy_after_the_answer_is_heard",),
    ),
    Proof(
        "At the most verbose setting no output and no file of the bridge tells number, caller or"
        " secret",
        (f"{_INTEROP}/test_secrets_and_numbers.py",),
    ),
    Proof(
        "Datagrams of every length from 0 to 300 octets, from the right and from a wrong address,"
        " between the good ones of a call: audio goes on",
        (f"{_INTEROP}/test_datagrams_of_every_length.py",),
    ),
    Proof(
        "100 calls/s set up and torn down for 30 s without a failure or a leak",
        command=("tests.bench.call_rate", "--rate", "100", "--seconds", "30"),
    ),
)

PROOFS: Mapping[str, tuple[Proof, ...]] = MappingProxyType({"a": ISSUE_A})
