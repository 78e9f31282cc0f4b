"""Shows a status: as text of one fact a line, and as a screen that always fits its terminal."""

from collections.abc import Iterable, Iterator, Sequence
from textwrap import wrap
from typing import Final, TextIO

from rich.console import Console, ConsoleDimensions, Group, JustifyMethod
from rich.table import Table
from rich.text import Text

from bridge.iax2 import Reachability
from bridge.status.model import (
    CallStatus,
    Dropped,
    Grade,
    Key,
    LinkStatus,
    OurRegistration,
    Received,
    Sent,
    Status,
    TrunkStatus,
    Verdict,
)

_STYLES: Final = {
    Grade.GOOD: "bold green",
    Grade.WEAK: "bold yellow",
    Grade.BAD: "bold red",
    Grade.DOWN: "bold red",
    Grade.PENDING: "cyan",
    Grade.UNSEEN: "dim",
}
_URGENT_FIRST: Final = (
    Grade.BAD,
    Grade.DOWN,
    Grade.WEAK,
    Grade.PENDING,
    Grade.GOOD,
    Grade.UNSEEN,
)
_PIPE_WIDTH: Final = 4000
_SCREEN_REST: Final = 7
"""Lines of a screen that are no link and no call: summary, headings, spaces, footer."""
_WORDS: Final = ("link", "call", "grade", "peer", "state")
"""Columns of words; the others are figures."""
_MINUTE_S: Final = 60
_HOUR_S: Final = 3600


def write_text(status: Status, out: TextIO) -> None:
    """Write everything; in colour on a terminal, one line a fact into a pipe."""
    console = Console(
        file=out, highlight=False, soft_wrap=True, width=None if out.isatty() else _PIPE_WIDTH
    )
    console.print(_summary(status))
    for link in status.links:
        console.print(_heading(f"link {link.link}", link.verdict))
        _print_rows(console, _link_rows(link))
    for trunk in status.trunks:
        style = _STYLES[Grade.GOOD if trunk.is_up else Grade.DOWN]
        heading = (f"trunk {trunk.trunk}: ", "bold"), ("up" if trunk.is_up else "down", style)
        console.print(Text.assemble(*heading, ", calls in clear SIP"))
        _print_rows(console, _trunk_rows(trunk))
    for call in status.calls:
        console.print(_heading(f"call {call.call} on {call.link}", call.verdict))
        _print_rows(console, _call_rows(call))
    for label, counts in (("phones", status.phones), ("outside of calls", status.outside_calls)):
        seen = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
        if seen:
            console.print(Text(f"{label}: {seen}"))


def _print_rows(console: Console, rows: Iterator[tuple[str, str]]) -> None:
    for label, text in rows:
        console.print(Text.assemble("  ", (f"{label:<10}", "cyan"), text))


def _summary(status: Status) -> Text:
    calls = len(status.calls)
    return Text(
        f"siax {status.version}, site {status.site}, up {_duration(status.uptime_s)}, "
        f"{calls} call{'' if calls == 1 else 's'}"
    )


def _heading(name: str, verdict: Verdict) -> Text:
    return Text.assemble(
        (f"{name}: ", "bold"),
        (verdict.grade.value, _STYLES[verdict.grade]),
        f", {verdict.reason}",
    )


def _link_rows(link: LinkStatus) -> Iterator[tuple[str, str]]:
    yield "peer", f"{_peer(link)}, {_reachability(link)}"
    if link.our_registration:
        yield "register", _registration(link.our_registration)
    path = f"RTT {_ms(link.rtt_ms)} when asked, jitter {_ms(link.jitter_ms)} at worst"
    yield "path", path
    last = f"; the last one: {link.last_end}" if link.last_end else ""
    yield "calls", f"{link.live_calls} now, {link.calls} since the start{last}"
    yield from _rows_of_frames(link.sent, link.received, link.unreadable_last_minute)


def _peer(link: LinkStatus) -> str:
    theirs = link.peer_registration
    if theirs is None:
        return link.peer or "its name does not resolve"
    refused = f" (refused for another secret: {theirs.refused})" if theirs.refused else ""
    if theirs.expires_in_s is None:
        return f"has not registered{refused}"
    return f"{link.peer}, registered for {_duration(theirs.expires_in_s)} more{refused}"


def _registration(ours: OurRegistration) -> str:
    cause = "" if ours.cause is None else f" (cause {ours.cause})"
    lasting = _lasting(ours.since_s, ours.expires_in_s, ours.tries_failed)
    return f"{ours.state}{cause}{lasting}"


def _lasting(since_s: float | None, expires_in_s: float | None, tries_failed: int) -> str:
    since = "" if since_s is None else f", since {_duration(since_s)}"
    left = "" if expires_in_s is None else f", for {_duration(expires_in_s)} more"
    failed = f"; tries that failed: {tries_failed}" if tries_failed else ""
    return f"{since}{left}{failed}"


def _trunk_rows(trunk: TrunkStatus) -> Iterator[tuple[str, str]]:
    yield "server", trunk.server or "its name does not resolve"
    status = "" if trunk.status is None else f" (status {trunk.status})"
    lasting = _lasting(trunk.since_s, trunk.expires_in_s, trunk.tries_failed)
    yield "state", f"{trunk.state}{status}{lasting}"
    yield "calls", f"{trunk.live_calls} now, {trunk.calls} since the start"


def _call_rows(call: CallStatus) -> Iterator[tuple[str, str]]:
    cipher, codec = call.cipher or "no key yet", call.codec or "no codec yet"
    yield "state", f"{call.state}, {call.direction}, for {_duration(call.age_s)}; {cipher}, {codec}"
    yield "keys", f"ours {_key(call.sending_key)}; the peer's {_key(call.receiving_key)}"
    far = f"jitter {_ms(call.far_jitter_ms)}, loss {_percent(call.far_loss_percent)}"
    yield "path", f"RTT {_ms(call.rtt_ms)}, jitter {_ms(call.jitter_ms)}; at the peer: {far}"
    yield from _rows_of_frames(call.sent, call.received, call.unreadable_last_minute)


def _reachability(link: LinkStatus) -> str:
    if link.reachability is None:
        return "not asked whether it answers"
    if link.reachability is Reachability.UNKNOWN or link.reachability_s is None:
        return "not known yet whether it answers"
    return f"{link.reachability.value} for {_duration(link.reachability_s)}"


def _key(key: Key | None) -> str:
    return "not made yet" if key is None else f"{key.origin.value} {_duration(key.age_s)} ago"


def _rows_of_frames(
    sent: Sent, received: Received, unreadable_last_minute: int
) -> Iterator[tuple[str, str]]:
    left = f"encrypted: {sent.full_frames} full frames, {sent.voice_frames} of voice"
    yield "sent", f"{left}; in clear: {sent.clear_frames}; sent again: {sent.retransmitted}"
    came = f"plausible: {received.full_frames} full frames, {received.voice_frames} of voice"
    lost = f"{received.lost_voice_frames} ({_percent(received.loss_percent)})"
    yield "received", f"{came}; in clear: {received.clear_frames}; voice lost: {lost}"
    yield "dropped", f"{_reasons(received.dropped)}; unreadable a minute: {unreadable_last_minute}"


def _reasons(dropped: Dropped) -> str:
    counts = {
        "implausible": dropped.implausible,
        "implausible voice": dropped.implausible_voice,
        "in clear": dropped.clear,
        "malformed": dropped.malformed,
        "of wrong size": dropped.wrong_size,
        "out of place": dropped.out_of_place,
    }
    return ", ".join(f"{count} {name}" for name, count in counts.items() if count) or "none"


def screen(status: Status, size: ConsoleDimensions, trouble: str = "") -> Group:
    """Return a view of at most `size`: what is worst stands first where not all fits.

    Below each table stands why its lines are not good; of a link's, what no call of it says.
    """
    room = max(size.height - _SCREEN_REST, 2)
    links = sorted(status.links, key=lambda link: _urgency(link.verdict))
    calls = sorted(status.calls, key=lambda call: _urgency(call.verdict))
    reason_room = max(room - len(links) - len(calls), room // 3)
    told = {call.verdict for call in calls}
    link_verdicts = ((link.link, link.verdict) for link in links if link.verdict not in told)
    link_reasons = _reasons_of(link_verdicts, size.width, reason_room // 2)
    call_verdicts = ((_call_name(call), call.verdict) for call in calls)
    call_reasons = _reasons_of(call_verdicts, size.width, reason_room - len(link_reasons))
    room -= len(link_reasons) + len(call_reasons)
    link_rows = min(len(links), max(room - len(calls), room // 2))
    call_rows = min(len(calls), room - link_rows)
    return Group(
        _one_line(_summary(status)),
        _one_line(Text(trouble, style="bold red")),
        _links_table(links[:link_rows]),
        *link_reasons,
        _one_line(Text(_left_out(len(links) - link_rows, "link"), style="dim")),
        _calls_table(calls[:call_rows]),
        *call_reasons,
        _one_line(Text(_left_out(len(calls) - call_rows, "call") or "Ctrl-C ends", style="dim")),
    )


def _reasons_of(verdicts: Iterable[tuple[str, Verdict]], width: int, room: int) -> list[Text]:
    """Say what is not good about each, most urgent first, in at most so many whole lines."""
    lines: list[Text] = []
    for name, verdict in verdicts:
        if verdict.grade is Grade.GOOD:
            continue
        text = f"{name}: {verdict.reason}"
        wrapped = wrap(text, width, subsequent_indent="  ")
        if len(lines) + len(wrapped) > room:
            break
        lines += [_one_line(Text(line, style=_STYLES[verdict.grade])) for line in wrapped]
    return lines


def _call_name(call: CallStatus) -> str:
    return f"{call.call} {call.link}"


def _urgency(verdict: Verdict) -> int:
    return _URGENT_FIRST.index(verdict.grade)


def _one_line(text: Text) -> Text:
    text.no_wrap, text.overflow = True, "ellipsis"
    return text


def _left_out(count: int, what: str) -> str:
    return f"… {count} more {what}{'' if count == 1 else 's'}" if count > 0 else ""


def _links_table(links: Sequence[LinkStatus]) -> Table:
    table = _table("link", "grade", "peer", "RTT", "calls", "sent", "received", "dropped", "loss")
    for link in links:
        table.add_row(
            link.link,
            _grade(link.verdict),
            link.reachability.value if link.reachability else "not asked",
            _ms(link.rtt_ms),
            str(link.live_calls),
            *_figures(link.sent, link.received),
        )
    return table


def _calls_table(calls: Sequence[CallStatus]) -> Table:
    table = _table("call", "grade", "state", "RTT", "key", "sent", "received", "dropped", "loss")
    for call in calls:
        table.add_row(
            _call_name(call),
            _grade(call.verdict),
            call.state,
            _ms(call.rtt_ms),
            _age(call.receiving_key),
            *_figures(call.sent, call.received),
        )
    return table


def _table(*headings: str) -> Table:
    table = Table(box=None, pad_edge=False, collapse_padding=True, header_style="bold")
    for heading in headings:
        justify: JustifyMethod = "left" if heading in _WORDS else "right"
        table.add_column(heading, justify=justify, no_wrap=True, overflow="ellipsis", min_width=4)
    return table


def _grade(verdict: Verdict) -> Text:
    return Text(verdict.grade.value, style=_STYLES[verdict.grade])


def _figures(sent: Sent, received: Received) -> tuple[str, str, str, str]:
    return (
        str(sent.full_frames + sent.voice_frames),
        str(received.full_frames + received.voice_frames),
        str(received.dropped.total),
        _percent(received.loss_percent),
    )


def _age(key: Key | None) -> str:
    if key is None:
        return "-"
    whole = int(key.age_s)
    return f"{whole // _MINUTE_S} min" if whole >= _MINUTE_S else f"{whole} s"


def _ms(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.1f} ms"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f} %"


def _duration(seconds: float) -> str:
    whole = int(seconds)
    if whole < _MINUTE_S:
        return f"{seconds:.1f} s"
    if whole < _HOUR_S:
        return f"{whole // _MINUTE_S} min {whole % _MINUTE_S} s"
    return f"{whole // _HOUR_S} h {whole % _HOUR_S // _MINUTE_S} min"
