"""Says in plain words what a configuration does, and what each link hides and does not hide.

It tells what is configured and enforced. What was seen on the wire is the status page's to say.
"""

from dataclasses import dataclass
from typing import Final

from bridge.config.loader import Loaded
from bridge.config.models import Configuration, Link, RouteEntry

_NOT_HIDDEN: Final = (
    "from whoever knows the secret; and who can change packets, not just watch them, can alter "
    "digits and end calls: against them, run the link inside a VPN"
)


@dataclass(frozen=True, slots=True)
class DescribedSection:
    """A heading and labelled sentences below it."""

    title: str
    rows: tuple[tuple[str, str], ...]


def describe(loaded: Loaded) -> tuple[DescribedSection, ...]:
    """The whole configuration, section by section."""
    configuration = loaded.configuration
    return (
        _phones(configuration),
        *(_link(name, link) for name, link in configuration.links.items()),
        _routes(configuration),
    )


def verdict(loaded: Loaded) -> str:
    """The last line: whether the configuration can be used, and how many doubts there are."""
    match len(loaded.warnings):
        case 0:
            return "OK"
        case 1:
            return "OK, with 1 warning"
        case count:
            return f"OK, with {count} warnings"


def _phones(configuration: Configuration) -> DescribedSection:
    sip = configuration.sip
    allowed = ", ".join(map(str, sip.allow)) or "nobody"
    media = sip.media_address or "the address that the phone reached"
    rows = (
        ("Listens on", ", ".join(map(str, sip.listen))),
        ("May call", f"{allowed} (no password asked)" if sip.allow else allowed),
        ("Audio", f"UDP {sip.rtp_ports}, room for {sip.rtp_ports.pairs} calls, from {media}"),
        ("Timeouts", f"{sip.rtp_timeout_s:g} s without audio, {sip.hold_timeout_s:g} s on hold"),
        ("Tones", f"as in {sip.tones}"),
        ("IAX2 from", str(configuration.iax.bind)),
    )
    return DescribedSection(f"Phones of site {configuration.site}", rows)


def _link(name: str, link: Link) -> DescribedSection:
    rows = (
        ("Goes to", f"{link.peer} as user {link.username}, extension {link.extension}"),
        ("Encrypted", "always and both ways (AES-128), or the call ends; no option turns that off"),
        ("Key", f"a new one for each call, made from the secret in {_secret(link)}"),
        ("Number", _number(link)),
        ("Audio", _audio(link)),
        ("In clear", _in_clear(link)),
        ("Not hidden", _NOT_HIDDEN),
        ("The phone", _phone_sees(link)),
    )
    return DescribedSection(f"Link {name}", rows)


def _audio(link: Link) -> str:
    return (
        f"{', '.join(link.codecs)}: one frame of one size each 20 ms from answer to hang-up, "
        "whether somebody talks or not"
    )


def _in_clear(link: Link) -> str:
    return (
        "that a call takes place, when and how long; and the same in every call: user "
        f"{link.username}, extension {link.extension}, codecs; never the number or the caller"
    )


def _secret(link: Link) -> str:
    strength = link.secret.strength
    grade = f"WEAK: it {strength.weakness}" if strength.weakness else "strong"
    length = f"{strength.characters} characters, at most {strength.bits:.0f} bits"
    return f"{link.secret.origin} ({length}; {grade})"


def _number(link: Link) -> str:
    dialing = link.dialing
    shortest_ms, longest_ms = dialing.start_ms
    burst_ms = (dialing.slots - 1) * dialing.slot_ms
    return (
        f"sent inside the encryption in {dialing.slots} frames, one each {dialing.slot_ms} ms, the "
        f"same for every number of up to {dialing.limits.digits_max} digits; it takes "
        f"{(shortest_ms + burst_ms) / 1000:.1f} to {(longest_ms + burst_ms) / 1000:.1f} s"
    )


def _phone_sees(link: Link) -> str:
    answered = {
        "after-dialing": "is answered once the number is through",
        "immediately": "is answered as soon as the far end has answered",
    }[link.answer]
    return f"{answered}; gets 503 when the far end is silent for {link.setup_timeout_s:g} s"


def _routes(configuration: Configuration) -> DescribedSection:
    rows = [(route.match.pattern, _route(configuration, route)) for route in configuration.dialplan]
    rows.append(("anything else", "404 Not Found"))
    return DescribedSection("Routes, first match of the whole number first", tuple(rows))


def _route(configuration: Configuration, route: RouteEntry) -> str:
    limits = configuration.links[route.link].dialing.limits
    return (
        f"link {route.link}, sends {route.dial}; over {limits.digits_max} digits "
        f"or with {limits.terminator} in it: 484"
    )
