"""What is allowed but doubtful: each finding with its key path, for `siax check` and the log."""

from collections.abc import Iterator
from typing import Final

from bridge.config.models import Configuration, Link, RouteEntry
from bridge.config.patterns import may_take_exponential_time, shortest_groups
from bridge.config.problems import KeyPath
from bridge.config.values import ListenUrl

Caution = tuple[KeyPath, str]

_SLOW_EXPRESSION: Final = (
    "repetitions within or after one another can take so long on some numbers that the "
    r"whole bridge stands still; make the inner one possessive: \d++"
)


def cautions(configuration: Configuration) -> Iterator[Caution]:
    """All that an operator should look at once more."""
    yield from _of_sip(configuration)
    for name, link in configuration.links.items():
        yield from _of_secret(("links", name, "secret"), link)
        yield from _of_dialing(("links", name, "dialing"), link)
        if ":" in link.peer.host and ":" not in configuration.iax.bind.host:
            yield ("links", name, "peer"), 'IPv6, but iax.bind is IPv4 only: bind to "[::]:4569"'
    yield from _of_shared_secrets(configuration)
    for index, route in enumerate(configuration.dialplan):
        yield from _of_route(("dialplan", index), route, configuration.links[route.link])
    yield from _of_plan(configuration)


def _of_sip(configuration: Configuration) -> Iterator[Caution]:
    sip = configuration.sip
    if not sip.allow:
        yield ("sip", "allow"), "empty: no phone may call"
    for index, network in enumerate(sip.allow):
        if network.prefixlen == 0:
            yield ("sip", "allow", index), "everybody who reaches the bridge may call"
    if any(port in sip.rtp_ports for port in _fixed_udp_ports(configuration)):
        yield ("sip", "rtp_ports"), "SIP or IAX2 has its own port within this range"


def _fixed_udp_ports(configuration: Configuration) -> Iterator[int]:
    yield configuration.iax.bind.port
    for url in configuration.sip.listen:
        match url:
            case ListenUrl(transport="udp", port=port):
                yield port


def _of_secret(path: KeyPath, link: Link) -> Iterator[Caution]:
    secret = link.secret
    if secret.strength.weakness:
        yield path, f"the secret {secret.strength.weakness}; allow_weak_secret lets it pass"
    if secret.open_to_others:
        yield path, f"{secret.origin} is open to every user of this machine: chmod 600"


def _of_shared_secrets(configuration: Configuration) -> Iterator[Caution]:
    seen: dict[str, Link] = {}
    for name, link in configuration.links.items():
        for other_name, other in seen.items():
            if other.secret == link.secret:
                yield ("links", name, "secret"), f"the same secret as link {other_name}"
                break
        seen[name] = link


def _of_dialing(path: KeyPath, link: Link) -> Iterator[Caution]:
    if link.dialing.terminator.isdigit():
        digit = link.dialing.terminator
        yield (*path, "terminator"), f"numbers that contain {digit} are refused (484)"
    shortest_ms, longest_ms = link.dialing.start_ms
    if shortest_ms == longest_ms:
        yield (*path, "start_ms"), "the delay before the digits is not random"


def _of_route(path: KeyPath, route: RouteEntry, link: Link) -> Iterator[Caution]:
    if may_take_exponential_time(route.match):
        yield (*path, "match"), _SLOW_EXPRESSION
    if link.dialing.terminator in route.template.literal_digits.upper():
        yield (*path, "dial"), f"holds the terminator of link {route.link}: always refused"
    if _fewest_digits(route) > link.dialing.limits.digits_max:
        slots = link.dialing.slots
        yield (*path, "dial"), f"never fits the {slots} slots of link {route.link}: always refused"


def _fewest_digits(route: RouteEntry) -> int:
    shortest = shortest_groups(route.match)
    return sum(
        len(part) if isinstance(part, str) else shortest[part] for part in route.template.parts
    )


def _of_plan(configuration: Configuration) -> Iterator[Caution]:
    if not configuration.dialplan:
        yield ("dialplan",), "empty: every call gets 404"
    used = {route.link for route in configuration.dialplan}
    for name in configuration.links:
        if configuration.dialplan and name not in used:
            yield ("links", name), "no route leads to this link"
    first_at: dict[str, int] = {}
    for index, route in enumerate(configuration.dialplan):
        first = first_at.setdefault(route.match.pattern, index)
        if first != index:
            yield ("dialplan", index, "match"), f"never reached: dialplan[{first}] is the same"
