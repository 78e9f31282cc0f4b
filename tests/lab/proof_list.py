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
        ("tests/simulation/test_lossy_calls.py",),
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

_FROM_ASTERISK = f"{_INTEROP}/test_calls_from_asterisk.py::"
_BAD_LINKS = f"{_INTEROP}/test_bad_links.py::"

ISSUE_B = (
    Proof(
        "Every pair of state and input is in the table or refused without a change of state, and"
        " docs/call-states.md is what the table says",
        ("tests/unit/test_states.py", "tests/unit/test_call_states.py"),
    ),
    Proof(
        "An unknown user and a wrong secret are answered alike: the same frames of the same sizes"
        " at the same times, for as many decryptions",
        ("tests/unit/test_callee.py::TestChallenge",),
    ),
    Proof(
        "1,000 calls each talk through 30 % loss, 50 % duplication, reordering up to 500 ms, and"
        " all of it; both sides hang up at once; the ACK of RTKEY gets lost; a peer restarts in"
        " mid-call; mini and 32-bit timestamps and sequence numbers wrap; a day with clocks 200 ppm"
        " apart: nothing wedges, leaks or plays garbage, and what ends does so in time",
        ("tests/simulation/test_bad_networks.py", "tests/simulation/test_rtp_wraps.py"),
    ),
    Proof(
        "One endpoint carries 1,000 encrypted calls of 50 packets/s each way: no voice gets lost",
        ("tests/simulation/test_many_calls.py",),
    ),
    Proof(
        "10 million hostile inputs to endpoints in every phase of a call: none makes one raise,"
        " exceed its limits, or send a source without a valid token more than 1.5 x the octets that"
        " it sent in all; atheris and Hypothesis find nothing either",
        command=("tests.fuzz.run", "--inputs", "10000000"),
    ),
    Proof(
        "Every line and branch of bridge/iax2 is run by unit tests and vectors",
        command=("tests.lab.engine_coverage",),
    ),
    Proof(
        "What each kind of frame costs",
        command=("tests.bench.frame_cost",),
    ),
    Proof(
        "Calls to Asterisk 22 and 16, with MD5 and with RSA, over a link that loses 5 % each way"
        " and reorders: all digits arrive both ways, each end hears the other's tone, and each"
        " frame of audio that does not come back is accounted for",
        (f"{_BAD_LINKS}test_digits_and_audio_both_ways",),
    ),
    Proof(
        "Calls from Asterisk 22 and 16 to our engine over such a link, with MD5 and with RSA, where"
        " Asterisk changes its key: the same",
        (f"{_FROM_ASTERISK}test_digits_and_audio_both_ways",),
    ),
    Proof(
        "RSA in both directions with Asterisk 22 and 16, MD5 and RSA with keys that either side"
        " rotates in mid-call, ours at 5 % loss, too: encrypted, digits and audio intact; who signs"
        " with another key, or wants no signature, gets no call",
        (f"{_INTEROP}/test_rsa_and_rotation.py",),
    ),
    Proof(
        "Secrets that differ are named over such a link, too, whoever calls",
        (f"{_BAD_LINKS}test_secrets_that_differ", f"{_FROM_ASTERISK}test_secrets_that_differ"),
    ),
    Proof(
        "Ten calls in a row, each given up before its challenge has come, leave nothing at Asterisk"
        " 22 and 16, and the one behind them is taken",
        (f"{_INTEROP}/test_calls_given_up.py",),
    ),
    Proof(
        "Asterisk is killed and started in mid-call over such a link: the call ends within 20 s and"
        " the next one works",
        (f"{_BAD_LINKS}test_asterisk_is_killed_and_started_in_mid_call",),
    ),
    Proof(
        "The bridge and Asterisk 22 and 16 register with each other, `iax2 show peers` says OK, and"
        " calls go both ways to where that says, each address known from nothing else; a wrong"
        " secret is refused both ways; status and log show it",
        (f"{_INTEROP}/test_registration.py",),
    ),
    Proof(
        "Asterisk 22 and 16 are killed: both registrations expire, calls get 503, and all is well"
        " again once Asterisk is",
        (f"{_INTEROP}/registrations_expire.py",),
    ),
)

ISSUE_C = (
    Proof(
        "Counts of digits cannot be told apart: 200 calls in each of five classes (3, 7, 11, 15, 24"
        " digits) through a real Asterisk 22; a classifier that learned from one half tells at most"
        " 25.5 % of the other, where guessing tells 20 %. It sees what there is to see: at least"
        " 80 % without the envelope, and well above chance with the end digit in a random slot",
        command=("tests.leak.run",),
    ),
    Proof(
        "What we send is the same, frame by frame, for 200 numbers of each class, given up, failed"
        " or cut off, redialed, with the caller and without, under loss, and whether the phone"
        " talks, is silent, muted, held or dead",
        ("tests/simulation/test_same_schedule.py",),
    ),
    Proof(
        "NEW is octet for octet the same for all calls of a link, but for its token, timestamp and"
        " call number, whoever calls whom from which phone",
        ("tests/simulation/test_same_new.py",),
    ),
    Proof(
        "With `caller_id` Asterisk 22 and 16 learn who calls, by the dial plan that we ship, and"
        " no datagram of the link shows it",
        ("tests/interop/test_caller_id.py",),
    ),
    Proof(
        "Captured calls decrypt to what an independent decoder reads, octet for octet; tshark"
        " dissects every frame and shows the digits as dialed; keys rotated by both sides, MD5 and"
        " RSA",
        ("tests/unit/test_audit_decrypt.py",),
    ),
    Proof(
        "The audit finds what is in captures of real calls, and in a call of our own nothing but"
        " what is public: the user name, the extension, the codecs",
        ("tests/unit/test_audit_findings.py", "tests/simulation/test_audit_own_call.py"),
    ),
    Proof(
        "1 million mutated captures, each audited and every tenth decrypted as well, bring a clear"
        " error or a note, never a traceback",
        ("tests/unit/test_audit_hostile.py",),
    ),
    Proof(
        "A capture of 1 GB is audited within 450 MB of memory, also one that is made to take more,"
        " and a bar shows how far it is",
        ("tests/e2e/test_large_capture.py",),
    ),
    Proof(
        "Asterisk 22 and 16 read 1,000 of 1,000 numbers as they were dialed, at 2 % loss, too;"
        " dialing takes under 2.2 s",
        ("tests/interop/test_digits_decoded.py",),
    ),
)

_E2E = "tests/e2e"

ISSUE_D = (
    Proof(
        "A number dialed at an Asterisk 22 and 16 rings a phone of the bridge: answered, busy,"
        " wrong, given up; who does not prove the secret inside the encryption reaches nobody",
        ("tests/interop/test_asterisk_calls_a_phone.py",),
    ),
    Proof(
        "A number from a link leaves over a SIP trunk: registered and called with digest, MD5 and"
        " SHA-256, by 401 and 407, renewed and released; audio measured both ways; refused"
        " credentials show in the status",
        ("tests/e2e/test_trunks.py", "tests/driver/test_sip_trunks.py"),
    ),
    Proof(
        "An emergency call goes from a phone to a trunk at once and in clear, whatever the limits;"
        " audio measured both ways, busy, given up and hung up by either side; no packet of it is"
        " on the link; a configuration that does not say where such calls go is refused",
        (
            "tests/e2e/test_emergency.py",
            "tests/unit/test_config_trunks.py",
            "tests/unit/test_emergency.py",
        ),
    ),
    Proof(
        "Calls in every codec to Asterisk 22 and 16 come back whole",
        ("tests/interop/test_codecs.py",),
    ),
    Proof(
        "baresip registers over UDP, TCP and TLS, and a wrong password does not; it calls Asterisk"
        " and is called by it; two talk through two bridges, hold, and dial by RFC 4733 and SIP"
        " INFO; with SRTP over TLS; each hears the other's tone",
        ("tests/interop/test_baresip.py",),
    ),
    Proof(
        "linphonec registers, calls an Asterisk and is called by it, over UDP, and over TLS with"
        " SRTP; through two bridges it talks with baresip, holds, dials by RFC 4733, SIP INFO and"
        " tones in its audio, and gives its call to another phone; each hears the other's tone",
        ("tests/interop/test_linphone.py", "tests/interop/test_linphone_sites.py"),
    ),
    Proof(
        "A call over IPv6, phones, links and audio, through two bridges, of which one may have"
        " IPv4, too; and a bridge bound to [::] calls an IPv4 peer",
        (f"{_E2E}/test_both_families.py",),
    ),
    Proof(
        "Session timers of 90 s: who has to, refreshes; a session that nobody refreshes ends with"
        " BYE before it expires (RFC 4028); 180 and 183 are reliable for phones that require it",
        (f"{_E2E}/test_sip_sessions.py",),
    ),
    Proof(
        "Two bridges and two phones: answered, busy, not answered, a wrong number, given up, hung"
        " up by either side; the number is nowhere on the link, audio is measured both ways",
        (f"{_E2E}/test_two_bridges.py",),
    ),
    Proof(
        "All 49 messages of RFC 4475, over UDP and TCP: each is answered as the RFC has it, or"
        " dropped where PJSIP cannot parse it; the service stays up, a call keeps its audio",
        ("tests/unit/test_torture.py", f"{_E2E}/test_sip_torture.py"),
    ),
    Proof(
        "100,000 mutated SIP messages over UDP and TCP: the service stays up, its memory stays"
        " flat, a call in progress keeps its audio",
        (f"{_E2E}/test_sip_fuzz.py",),
    ),
    Proof(
        "2,000 INVITEs/s from strangers for 30 s: 50 calls lose less than 0.5 % of their audio, and"
        " a registered phone can still call",
        (f"{_E2E}/test_sip_flood.py::test_a_flood_of_invites_from_strangers",),
    ),
    Proof(
        "10,000 phones register with a digest at 200/s, and again: memory stays flat, and one that"
        " registers then rings",
        (f"{_E2E}/test_registrations.py",),
    ),
    Proof(
        "1,000 concurrent calls held, each with its stream to the link, while nobody talks",
        (f"{_E2E}/test_sip_flood.py::test_concurrent_calls_are_held",),
    ),
    Proof(
        "A call takes the next link of its route where the first is unreachable, full or refuses"
        " for now; a wrong number is told at once",
        (f"{_E2E}/test_several_links.py",),
    ),
    Proof(
        "Registered phones are reachable after a restart without registering again",
        (f"{_E2E}/test_restart.py",),
    ),
    Proof(
        "A phone gives its call to another one, blind and attended, for calls in both directions:"
        " both ends hear each other, whoever does not take it leaves it where it is, nobody else"
        " is dialed, and the link has one frame each 20 ms",
        (f"{_E2E}/test_transfer.py",),
    ),
    Proof(
        "baresip gives its call to another baresip, over UDP, and over TLS with SRTP: Asterisk"
        " hears that one then",
        ("tests/interop/test_baresip_transfer.py",),
    ),
    Proof(
        "Who calls is shown to the phone at the other bridge; an exchange that is trusted may"
        " assert it, who wants privacy is nobody, and the link shows nothing of it",
        ("tests/unit/test_sip_identity.py", f"{_E2E}/test_caller_shown.py"),
    ),
)

ISSUE_E = (
    Proof(
        "What a relayed packet costs stays within its budget of system calls, Python calls and"
        " instructions, counted and not timed, on the compiled path and on Python's",
        ("tests/unit/test_relay_budget.py",),
    ),
    Proof(
        "While the loop is late by more than 100 ms again and again, new calls get 503 with"
        " Retry-After and those that are up go on; after a stall, what has arrived is read before"
        " anything is sent again",
        (
            "tests/driver/test_lag_watch.py",
            "tests/driver/test_sip_agent.py::test_overload_refuses_and_keeps",
            "tests/driver/test_link_socket.py::TestEngine",
        ),
    ),
    Proof(
        "Offered twice the calls that it can carry, the bridge refuses the excess by 503 within"
        " 500 ms; those that it has lose less than 1 % of their audio, the far end gets no storm of"
        " retransmissions, and when half of them have ended it takes calls again without loss;"
        " Asterisk 22 beside it, for comparison",
        command=("tests.bench.overload",),
    ),
    Proof(
        "With 5 links and 100 registered phones the idle bridge takes at most 0.5 % of a core and"
        " 90 MB",
        command=("tests.bench.idle",),
    ),
    Proof(
        "100 calls talk for 30 minutes: memory stays flat after the first two, and nothing is left",
        command=("tests.bench.soak",),
    ),
)

PROOFS: Mapping[str, tuple[Proof, ...]] = MappingProxyType(
    {"a": ISSUE_A, "b": ISSUE_B, "c": ISSUE_C, "d": ISSUE_D, "e": ISSUE_E}
)
