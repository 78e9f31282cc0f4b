"""A status as text and as a screen: everything stands there, and a screen fits its terminal."""

import io
from dataclasses import replace

import pytest
from rich.console import Console, ConsoleDimensions

from bridge.status.model import Grade, OurRegistration, PeerRegistration, Status, Verdict
from bridge.status.view import screen, write_text
from tests.lab.status_sample import CALL, LINK, REGISTERED_LINK, STATUS, TRUNK

TEXT = """\
siax 1.0, site branch-7, up 1 h 6 min, 1 call
link hq: good, encrypted both ways
  peer      its name does not resolve, late for 2 min 10 s
  path      RTT 2100.5 ms when asked, jitter 4.0 ms at worst
  calls     1 now, 9 since the start; the last one: the peer hung up
  sent      encrypted: 1 full frames, 2 of voice; in clear: 3; sent again: 4
  received  plausible: 10 full frames, 90 of voice; in clear: 2; voice lost: 10 (10.00 %)
  dropped   1 implausible, 2 implausible voice, 3 in clear, 4 malformed, 5 of wrong size, \
6 out of place; unreadable a minute: 3
call 7 on hq: good, encrypted both ways
  state     up, to peer, for 1 min 15 s; AES-128-CBC, ulaw
  keys      ours rotated by this side 15.0 s ago; the peer's made from challenge and secret \
1 min 14 s ago
  path      RTT 12.5 ms, jitter unknown; at the peer: jitter 1.0 ms, loss -
  sent      encrypted: 20 full frames, 100 of voice; in clear: 2; sent again: 1
  received  plausible: 10 full frames, 90 of voice; in clear: 2; voice lost: 10 (10.00 %)
  dropped   1 implausible, 2 implausible voice, 3 in clear, 4 malformed, 5 of wrong size, \
6 out of place; unreadable a minute: 3
phones: 9 taken
outside of calls: 2 malformed
"""


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def drawn(status: Status, width: int, height: int, trouble: str = "") -> list[str]:
    console = Console(width=width, height=height, file=io.StringIO(), record=True)
    console.print(screen(status, ConsoleDimensions(width, height), trouble))
    return console.export_text().splitlines()


def crowd(links: int, calls: int) -> Status:
    return replace(
        STATUS,
        links=tuple(replace(LINK, link=f"l{number}") for number in range(links)),
        calls=tuple(replace(CALL, call=number) for number in range(calls)),
    )


def test_text_for_a_pipe() -> None:
    out = io.StringIO()
    write_text(STATUS, out)
    assert out.getvalue() == TEXT


def test_text_of_a_service_that_has_seen_nothing() -> None:
    out = io.StringIO()
    idle = replace(LINK, last_end=None, peer="192.0.2.2:4569")
    write_text(replace(STATUS, links=(idle,), calls=(), outside_calls={}, phones={"taken": 0}), out)
    text = out.getvalue()
    assert "0 calls\n" in text
    assert "  calls     1 now, 9 since the start\n" in text
    assert "phones" not in text
    assert "outside" not in text


def test_text_of_registrations() -> None:
    refused = replace(
        LINK,
        our_registration=OurRegistration("refused", 10.0, None, 3, 29),
        peer_registration=PeerRegistration(None, 0),
    )
    begun = OurRegistration("not yet registered", None, None, 0, None)
    fresh = replace(LINK, our_registration=begun)
    registered = replace(REGISTERED_LINK, peer="192.0.2.2:4569")
    out = io.StringIO()
    write_text(replace(STATUS, links=(registered, refused, fresh), calls=()), out)
    rows = [line.strip() for line in out.getvalue().splitlines()]
    first = "192.0.2.2:4569, registered for 59.0 s more (refused for another secret: 2)"
    assert [row for row in rows if row.startswith(("peer", "register"))] == [
        f"peer      {first}, late for 2 min 10 s",
        "register  registered, since 3 min 2 s, for 48.0 s more; tries that failed: 1",
        "peer      has not registered, late for 2 min 10 s",
        "register  refused (cause 29), since 10.0 s; tries that failed: 3",
        "peer      its name does not resolve, late for 2 min 10 s",
        "register  not yet registered",
    ]


def test_text_of_trunks() -> None:
    refused = replace(
        TRUNK, is_up=False, state="refuses to register us", status=403, expires_in_s=None
    )
    out = io.StringIO()
    write_text(replace(STATUS, links=(), calls=(), trunks=(TRUNK, refused)), out)
    assert [line.strip() for line in out.getvalue().splitlines()][1:9] == [
        "trunk provider: up, calls in clear SIP",
        "server    192.0.2.9:5060",
        "state     registered, since 1 min 30 s, for 8 min 30 s more",
        "calls     2 now, 7 since the start",
        "trunk provider: down, calls in clear SIP",
        "server    192.0.2.9:5060",
        "state     refuses to register us (status 403), since 1 min 30 s",
        "calls     2 now, 7 since the start",
    ]


def test_a_terminal_gets_colours() -> None:
    out = Terminal()
    write_text(STATUS, out)
    assert "\x1b[" in out.getvalue()
    assert "encrypted both ways" in out.getvalue()


@pytest.mark.parametrize(("width", "height"), [(80, 24), (60, 10), (120, 40), (40, 9)])
@pytest.mark.parametrize(("links", "calls"), [(0, 0), (1, 1), (3, 500), (60, 500), (60, 0)])
def test_a_screen_fits_its_terminal(width: int, height: int, links: int, calls: int) -> None:
    lines = drawn(crowd(links, calls), width, height)
    assert len(lines) <= height
    assert max(map(len, lines)) <= width


def test_what_is_worst_stands_first_and_what_is_left_out_is_told() -> None:
    many = crowd(2, 40)
    worst = replace(CALL, call=99, verdict=Verdict(Grade.BAD, "secrets differ?"))
    lines = drawn(replace(many, calls=(*many.calls, worst)), 100, 20)
    rows = [line for line in lines if line.split()[1:2] == ["hq"]]
    assert rows[0].startswith("99 hq")
    assert "99 hq: secrets differ?" in [line.strip() for line in lines]
    assert lines[-1].strip() == f"… {41 - len(rows)} more calls"


def test_reasons_stand_in_whole_lines_and_once() -> None:
    weak = Verdict(Grade.WEAK, "encrypted both ways; " + "because " * 20 + "so it is")
    calls = tuple(replace(CALL, call=number, verdict=weak) for number in (1, 2))
    link = replace(LINK, verdict=weak)
    text = " ".join(" ".join(drawn(replace(STATUS, links=(link,), calls=calls), 80, 24)).split())
    assert text.count("so it is") == 2
    assert text.count(weak.reason) == 2
    down = replace(LINK, verdict=Verdict(Grade.DOWN, "the peer does not answer"))
    lines = drawn(replace(STATUS, links=(down,), calls=()), 80, 24)
    assert "hq: the peer does not answer" in [line.strip() for line in lines]


def test_everything_stands_there_where_it_fits() -> None:
    text = "\n".join(drawn(STATUS, 100, 24))
    assert "7 hq" in text
    assert "12.5 ms" in text
    assert "2100.5 ms" in text
    assert "1 min" in text
    assert "10.00 %" in text
    assert "Ctrl-C ends" in text


def test_trouble_is_shown_above_what_was_seen_last() -> None:
    lines = drawn(STATUS, 80, 24, "the service is not running")
    assert lines[1].strip() == "the service is not running"
    assert any("7 hq" in line for line in lines)
