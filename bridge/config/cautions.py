"""What is allowed but doubtful: each finding with its key path, for `siax check` and the log."""

import ipaddress
from collections.abc import Iterator, Sequence
from typing import Final

from bridge.config.accepting import Accept
from bridge.config.models import Configuration, Link, registering
from bridge.config.patterns import may_take_exponential_time, shortest_groups
from bridge.config.phones import Phone
from bridge.config.problems import KeyPath
from bridge.config.routes import RouteEntry
from bridge.config.secret import Secret
from bridge.config.trunks import Trunk
from bridge.config.values import HostPort, ListenUrl

_PASSWORD_BITS_MIN: Final = 60
Caution = tuple[KeyPath, str]

E164_DIGITS_MAX: Final = 15
"""The longest international number, without its '+'."""

_SLOW_EXPRESSION: Final = (
    "repetitions within or after one another can take so long on some numbers that the "
    r"whole bridge stands still; make the inner one possessive: \d++"
)


def cautions(configuration: Configuration) -> Iterator[Caution]:
    """All that an operator should look at once more."""
    yield from _of_sip(configuration)
    yield from _of_trunks(configuration)
    metrics = configuration.metrics.listen
    if metrics is not None and not ipaddress.ip_address(metrics.host).is_loopback:
        yield ("metrics", "listen"), "who reaches it learns how many calls there are, and when"
    for name, link in configuration.links.items():
        yield from _of_link(("links", name), link)
        ipv6 = isinstance(link.peer, HostPort) and ":" in link.peer.host
        if ipv6 and ":" not in configuration.iax.bind.host:
            yield ("links", name, "peer"), 'IPv6, but iax.bind is IPv4 only: bind to "[::]:4569"'
    for own in registering(configuration.links):
        yield from _of_secret(("links", *own.path), own.secret)
    yield from _of_shared_secrets(configuration)
    for index, route in enumerate(configuration.dialplan):
        yield from _of_entry(("dialplan", index), route, configuration)
    yield from _of_plan(configuration)


def _of_trunks(configuration: Configuration) -> Iterator[Caution]:
    used = {route.trunk for route in configuration.dialplan}
    if configuration.emergency:
        used.add(configuration.emergency.route)
    for name, trunk in configuration.trunks.items():
        if name not in used:
            yield ("trunks", name), "no route leads to this trunk"
        yield from _of_trunk(("trunks", name), trunk)


def _of_trunk(path: KeyPath, trunk: Trunk) -> Iterator[Caution]:
    if trunk.password.strength.bits < _PASSWORD_BITS_MIN:
        yield (*path, "password"), "can be guessed by who sees its digest: take a longer one"
    if trunk.password.open_to_others:
        origin = trunk.password.origin
        yield (*path, "password"), f"{origin} is open to every user of this machine: chmod 600"
    if trunk.srtp != "off":
        yield (*path, "srtp"), "over UDP and TCP the keys of the audio can be read by everybody"


def _of_sip(configuration: Configuration) -> Iterator[Caution]:
    sip = configuration.sip
    if not sip.allow and not sip.phones:
        yield ("sip", "allow"), "empty, and no phones: nobody may call"
    for index, phone in enumerate(sip.phones):
        yield from _of_phone(("sip", "phones", index), phone)
    for index, network in enumerate(sip.allow):
        if network.prefixlen == 0:
            yield ("sip", "allow", index), "everybody who reaches the bridge may call"
    if any(network.prefixlen == 0 for network in sip.trust_identity):
        yield ("sip", "trust_identity"), "every phone may say that anybody calls"
    if sip.srtp == "required" and any(url.transport != "tls" for url in sip.listen):
        yield ("sip", "srtp"), "over UDP and TCP the keys of the audio can be read by everybody"
    if any(port in sip.rtp_ports for port in _fixed_udp_ports(configuration)):
        yield ("sip", "rtp_ports"), "SIP or IAX2 has its own port within this range"


def _of_phone(path: KeyPath, phone: Phone) -> Iterator[Caution]:
    if phone.password and phone.password.strength.bits < _PASSWORD_BITS_MIN:
        yield (*path, "password"), "can be guessed: take 12 random characters or more"
    for secret in phone.secrets:
        if secret.open_to_others:
            yield path, f"{secret.origin} is open to every user of this machine: chmod 600"


def _fixed_udp_ports(configuration: Configuration) -> Iterator[int]:
    yield configuration.iax.bind.port
    for url in configuration.sip.listen:
        match url:
            case ListenUrl(transport="udp", port=port):
                yield port


def _of_link(path: KeyPath, link: Link) -> Iterator[Caution]:
    yield from _of_secret((*path, "secret"), link.secret)
    yield from _of_private_key((*path, "private_key"), link)
    if link.accept:
        yield from _of_accept((*path, "accept"), link.accept)
    elif link.registration:
        yield (*path, "register"), "tells the far end where to call, but there is no `accept`"
    yield from _of_dialing((*path, "dialing"), link)


def _of_accept(path: KeyPath, accept: Accept) -> Iterator[Caution]:
    yield from _of_secret((*path, "secret"), accept.secret)
    for index, network in enumerate(accept.networks):
        if network.prefixlen == 0:
            yield (*path, "from", index), "everybody who reaches the bridge may try secrets here"


def _of_secret(path: KeyPath, secret: Secret) -> Iterator[Caution]:
    if secret.strength.weakness:
        yield path, f"the secret {secret.strength.weakness}; allow_weak_secret lets it pass"
    if secret.open_to_others:
        yield path, f"{secret.origin} is open to every user of this machine: chmod 600"


def _of_private_key(path: KeyPath, link: Link) -> Iterator[Caution]:
    key = link.private_key
    if key is not None and key.open_to_others:
        yield path, f"{key.origin} is open to every user of this machine: chmod 600"


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


def _of_entry(path: KeyPath, route: RouteEntry, configuration: Configuration) -> Iterator[Caution]:
    if may_take_exponential_time(route.match):
        yield (*path, "match"), _SLOW_EXPRESSION
    for name in route.link:
        yield from _of_route(path, route, name, configuration.links[name])
    if _rings_nobody(route, configuration.sip.phones):
        yield (*path, "to"), "no phone of sip.phones has this name: calls get 404"


def _of_route(path: KeyPath, route: RouteEntry, name: str, link: Link) -> Iterator[Caution]:
    if link.dialing.terminator in route.template.literal_digits.upper():
        yield (*path, "dial"), f"holds the terminator of link {name}: always refused"
    yield from _of_length(path, route, name, link)


def _rings_nobody(route: RouteEntry, phones: Sequence[Phone]) -> bool:
    if route.to is None or route.to.place is not None:
        return False
    is_open = any(isinstance(part, int) for part in route.template.parts)
    return not phones if is_open else route.to.user not in {phone.user for phone in phones}


def _of_length(path: KeyPath, route: RouteEntry, name: str, link: Link) -> Iterator[Caution]:
    caller_format, slots = link.limits.caller_format, link.envelope.slots
    signs = caller_format.signs if caller_format else 0
    left = link.limits.digits_max - signs - _fewest_digits(route)
    if left < 0:
        yield (*path, "dial"), f"never fits the {slots} slots of link {name}: always refused"
    elif caller_format and left < E164_DIGITS_MAX:
        what = f"over {left} digits of a caller do not fit the {slots} slots of link {name}"
        yield (*path, "dial"), f"{what}: refused then"


def _fewest_digits(route: RouteEntry) -> int:
    shortest = shortest_groups(route.match)
    return sum(
        len(part) if isinstance(part, str) else shortest[part] for part in route.template.parts
    )


def _of_plan(configuration: Configuration) -> Iterator[Caution]:
    if not configuration.dialplan:
        yield ("dialplan",), "empty: every call gets 404"
    used = {name for route in configuration.dialplan for name in route.link}
    heard = {route.from_link for route in configuration.dialplan}
    for name, link in configuration.links.items():
        if configuration.dialplan and name not in used and link.accept is None:
            yield ("links", name), "no route leads to this link"
        if link.accept and name not in heard:
            yield ("links", name, "accept"), f"no route takes calls from it: add {{from: {name}}}"
    first_at: dict[tuple[str | None, str], int] = {}
    for index, route in enumerate(configuration.dialplan):
        first = first_at.setdefault((route.from_link, route.match.pattern), index)
        if first != index:
            yield ("dialplan", index, "match"), f"never reached: dialplan[{first}] is the same"
