"""What a failed test prints of frames: names, numbers and times, encrypted or not."""

from bridge.iax2 import Cause
from tests.lab.iax2_pair import SECRET, Pair
from tests.lab.iax2_trace import FrameTrace, Passed
from tests.lab.iax2_wire import FAR, NEAR


def trace_of(pair: Pair) -> list[str]:
    trace = FrameTrace(SECRET)
    for sent in pair.wire:
        trace.note(Passed(sent.at, sent.source, FAR if sent.source == NEAR else NEAR, sent.data))
    return list(trace.lines())


def test_a_call_can_be_read_from_new_to_hangup() -> None:
    pair = Pair()
    call, _ = pair.answered()
    call.send_digit("5", pair.now)
    pair.exchange()
    call.hang_up(pair.now, Cause.NORMAL_CLEARING)
    pair.exchange()
    lines = trace_of(pair)
    assert not [line for line in lines if "unreadable" in line]
    for name in ("NEW", "CALLTOKEN", "AUTHREQ"):
        assert [line for line in lines if f"  {name} " in line], name
    for name in ("AUTHREP", "ACCEPT", "CONTROL ANSWER", "DTMF_END 5", "HANGUP", "ACK"):
        assert [line for line in lines if f"* {name} " in line], name
    digit = next(line for line in lines if "DTMF_END 5" in line)
    assert f"call {call.call_number}->{call.peer_call_number} ts " in digit
    assert " oseq 2 iseq 3 " in digit


def test_what_nothing_reads_and_what_became_of_it_are_shown() -> None:
    trace = FrameTrace(SECRET)
    trace.note(Passed(1.0, NEAR, FAR, b"", "LOST"))
    trace.note(Passed(2.0, NEAR, FAR, b"\x80\x05\x00\x00" + bytes(range(200, 248))))
    first, second = trace.lines()
    assert "unreadable, 0 octets" in first
    assert first.endswith("LOST")
    assert "unreadable, 52 octets: 80050000" in second


def test_keys_that_were_agreed_on_before_are_told_to_it() -> None:
    pair = Pair()
    call, _ = pair.answered()
    before = len(pair.wire)
    call.send_cng(pair.now)
    pair.exchange()
    sent = pair.wire[before]
    trace = FrameTrace()
    trace.note(Passed(sent.at, NEAR, FAR, sent.data))
    assert "unreadable" in next(trace.lines())
    reader = FrameTrace(SECRET)
    for earlier in pair.wire[: before + 1]:
        reader.note(Passed(earlier.at, NEAR, FAR, earlier.data))
    assert "* CNG" in list(reader.lines())[-1]
