from tests.leak.calls import WATCHED_S, Seen, sort_calls
from tests.leak.link_recorder import NOTE

NEW, TOKEN, VOICE = b"\x06\x01", b"\x06\x28", b"\x02\x04"
OURS, PEERS = 7, 9


def full(source: int, destination: int, kind: bytes = VOICE) -> bytes:
    numbers = (0x8000 | source).to_bytes(2, "big") + destination.to_bytes(2, "big")
    return numbers + bytes(6) + kind


def mini(source: int) -> bytes:
    return source.to_bytes(2, "big") + bytes(10)


def note(at_s: float, header: bytes, octets: int, *, ours: bool) -> bytes:
    return NOTE.pack(at_s, ours, octets, header)


def set_up(at_s: float, ours: int = OURS, peers: int = PEERS) -> bytes:
    return (
        note(at_s, full(ours, 0, NEW), 62, ours=True)
        + note(at_s + 0.001, full(1, ours, TOKEN), 65, ours=False)
        + note(at_s + 0.002, full(ours, 0, NEW), 113, ours=True)
        + note(at_s + 0.003, full(peers, ours), 41, ours=False)
    )


def test_call_is_followed_by_its_numbers_in_both_directions() -> None:
    notes = set_up(100.0)
    notes += note(100.5, mini(OURS), 194, ours=True) + note(100.6, mini(PEERS), 194, ours=False)
    (call,) = sort_calls(notes)
    assert call.datagrams == [
        Seen(0, ours=True, octets=62, full=True),
        Seen(1, ours=False, octets=65, full=True),
        Seen(2, ours=True, octets=113, full=True),
        Seen(3, ours=False, octets=41, full=True),
        Seen(500, ours=True, octets=194, full=False),
        Seen(600, ours=False, octets=194, full=False),
    ]


def test_calls_side_by_side_are_kept_apart() -> None:
    notes = set_up(100.0) + set_up(100.1, ours=8, peers=10)
    notes += note(101, mini(8), 194, ours=True) + note(101, mini(PEERS), 194, ours=False)
    first, second = sort_calls(notes)
    assert [each.octets for each in first.datagrams] == [62, 65, 113, 41, 194]
    assert [each.octets for each in second.datagrams] == [62, 65, 113, 41, 194]
    assert not first.datagrams[-1].ours
    assert second.datagrams[-1].ours


def test_both_directions_may_use_one_number() -> None:
    notes = set_up(100.0, ours=5, peers=6) + set_up(100.1, ours=6, peers=5)
    notes += note(101, mini(5), 194, ours=False)
    first, second = sort_calls(notes)
    assert len(first.datagrams) == 4
    assert len(second.datagrams) == 5


def test_number_used_again_begins_another_call() -> None:
    first, second = sort_calls(set_up(100.0) + set_up(170.0))
    assert (first.began_at_s, second.began_at_s) == (100.0, 170.0)
    assert len(first.datagrams) == len(second.datagrams) == 4


def test_only_the_first_seconds_are_watched() -> None:
    notes = set_up(100.0)
    notes += note(100 + WATCHED_S - 0.01, mini(OURS), 194, ours=True)
    notes += note(100 + WATCHED_S, mini(OURS), 194, ours=True)
    (call,) = sort_calls(notes)
    assert len(call.datagrams) == 5


def test_what_belongs_to_no_call_is_left_out() -> None:
    notes = note(100, mini(OURS), 194, ours=True) + note(100, full(9, 8), 36, ours=False)
    assert sort_calls(notes) == []


def test_order_is_that_of_time() -> None:
    late = note(100.5, mini(OURS), 194, ours=True)
    assert sort_calls(late + set_up(100.0)) == sort_calls(set_up(100.0) + late)
