"""Says in plain words what a configuration does, and what each link hides and does not hide.

It tells what is configured and enforced. What was seen on the wire is the status page's to say.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from bridge.config.accepting import Accept
from bridge.config.limits import Limits
from bridge.config.loader import Loaded
from bridge.config.models import Configuration, Link
from bridge.config.routes import RouteEntry
from bridge.config.secret import Secret
from bridge.config.sip import Sip
from bridge.config.trunks import Trunk
from bridge.iax2.rsa import RSA_BITS

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
        *(_trunk(name, trunk) for name, trunk in configuration.trunks.items()),
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
    asserting = ", ".join(map(str, sip.trust_identity))
    media = sip.media_address or "the address that the phone reached"
    rows = (
        ("Listens on", ", ".join(map(str, sip.listen))),
        ("May call", f"{allowed} (no password asked)" if sip.allow else allowed),
        ("Caller", f"as asserted by {asserting}" if asserting else "as each phone says itself"),
        *_registering(sip),
        ("Audio", f"UDP {sip.rtp_ports}, room for {sip.rtp_ports.pairs} calls, from {media}"),
        ("Timeouts", f"{sip.rtp_timeout_s:g} s without audio, {sip.hold_timeout_s:g} s on hold"),
        ("Limits", _limits(configuration.limits)),
        ("Tones", f"as in {sip.tones}"),
        ("IAX2 from", str(configuration.iax.bind)),
    )
    return DescribedSection(f"Phones of site {configuration.site}", rows)


def _limits(limits: Limits) -> str:
    said = (
        (limits.calls_max, "{} calls at a time"),
        (limits.phone_calls_max, "{} at a time placed by one phone"),
        (limits.phone_calls_per_s, "{} a second by one phone"),
        (limits.duration_s, "{:g} s for each call"),
    )
    parts = [text.format(limit) for limit, text in said if limit is not None]
    return "; ".join(parts) or "none but the ports for audio"


def _registering(sip: Sip) -> tuple[tuple[str, str], ...]:
    if not sip.phones:
        return ()
    algorithms = " or ".join(sip.digest_offered)
    longest = sip.registration.max_expires_s
    return (("Register", f"{len(sip.phones)} with passwords ({algorithms}), up to {longest} s"),)


def _link(name: str, link: Link) -> DescribedSection:
    rows = (
        ("Goes to", f"{_place(link)} as user {link.username}, extension {link.extension}"),
        ("Encrypted", "always and both ways (AES-128), or the call ends; no option turns that off"),
        ("Proof", _proof(link)),
        ("Key", _key(link)),
        ("Number", _number(link)),
        ("Caller", _caller(link)),
        ("Keys", _keys(link)),
        ("Audio", _audio(link)),
        ("At a time", _at_a_time(link)),
        ("In clear", _in_clear(link)),
        ("Not hidden", _NOT_HIDDEN),
        ("The phone", _phone_sees(link)),
        ("Calls from it", _accepts(link)),
        *_registrations(link),
    )
    return DescribedSection(f"Link {name}", rows)


def _trunk(name: str, trunk: Trunk) -> DescribedSection:
    registers = f"for {trunk.expires_s} s at a time" if trunk.registers else "no; asked by OPTIONS"
    audio = {"off": "in clear", "optional": "encrypted if it can", "required": "encrypted"}
    rows = (
        ("Goes to", f"{trunk.server} over {trunk.transport}, as {trunk.own_user}"),
        ("Registers", registers),
        ("Password", f"of {trunk.user}, from {trunk.password.origin}; proved by digest"),
        ("In clear", "who calls, the number, and when; nothing of it is hidden"),
        ("Audio", audio[trunk.srtp]),
        ("At a time", f"{trunk.calls_max or 'as many calls as there may be in all'}"),
        ("Calls from it", "refused, unless its address is in sip.allow"),
    )
    return DescribedSection(f"Trunk {name}", rows)


def _audio(link: Link) -> str:
    return (
        f"{', '.join(link.codecs)}: one frame of one size each 20 ms from answer to hang-up, "
        f"whether somebody talks or not{', and up to 2 s longer, at random' if link.tail else ''}"
    )


def _at_a_time(link: Link) -> str:
    if link.calls_max is None:
        return "as many calls as there may be in all"
    return f"{link.calls_max} calls, in both directions together; one more gets 503"


def _caller(link: Link) -> str:
    shown = "; that of calls from it is shown" if link.accept and link.accept.caller_id else ""
    if not link.caller_id.send:
        return f"not sent{shown}"
    return f"sent inside the encryption, within the same frames, as {link.caller_id.format}{shown}"


def _keys(link: Link) -> str:
    if not link.in_call_digits:
        return "pressed in the call are dropped"
    return "pressed in the call are sent, one each 500 ms, where comfort noise is sent otherwise"


def _in_clear(link: Link) -> str:
    return (
        "that a call takes place, when and how long; and the same in every call: user "
        f"{link.username}, extension {link.extension}, codecs; never the number or the caller"
    )


def _proof(link: Link) -> str:
    if link.private_key is None:
        return "of the secret itself, inside the encryption (MD5)"
    return (
        f"a signature by the RSA key in {link.private_key.origin}, inside the encryption; of "
        f"{RSA_BITS} bits, as Asterisk wants it, it protects less than the secret, which encrypts"
    )


def _key(link: Link) -> str:
    text = f"a new one for each call, made from the secret in {_secret(link.secret)}"
    if link.rekey_s is None:
        return text
    return f"{text}; toward the peer another one, at random, each {link.rekey_s:g} s of a call"


def _accepts(link: Link) -> str:
    accept = link.accept
    if accept is None:
        return "refused"
    return (
        f"taken as user {accept.username} from {', '.join(map(str, accept.networks))} to extension "
        f"{link.extension}, encrypted or refused; key from {_secret(accept.secret)}"
        f"{_signed(accept)}; up to "
        f"{accept.digits_max} digits, ended by {link.dialing.terminator} or "
        f"{accept.inter_digit_s:g} s of pause; phones ring {accept.ring_s:g} s"
    )


def _signed(accept: Accept) -> str:
    key = accept.peer_public_key
    return f"; signed with the RSA key of {key.origin}" if key else ""


def _place(link: Link) -> str:
    if link.registrant is not None:
        return f"wherever {link.registrant.username} registers from,"
    return str(link.peer)


def _registrations(link: Link) -> Iterator[tuple[str, str]]:
    if ours := link.registration:
        every = f"as {link.register_name}, for {ours.refresh_s} s at a time, in clear"
        yield "Registers", f"with the far end {every}; secret from {_secret(ours.secret)}"
    if theirs := link.registrant:
        until = "until then, and when that is over, calls to it get 503"
        where = f"from the far end as {theirs.username}, in clear; {until}"
        yield "Is told", f"{where}; secret from {_secret(theirs.secret)}"


def _secret(secret: Secret) -> str:
    strength = secret.strength
    grade = f"WEAK: it {strength.weakness}" if strength.weakness else "strong"
    length = f"{strength.characters} characters, at most {strength.bits:.0f} bits"
    return f"{secret.origin} ({length}; {grade})"


def _number(link: Link) -> str:
    shape, caller_format = link.envelope, link.limits.caller_format
    shortest_ms, longest_ms = shape.start_ms
    burst_ms = (shape.slots - 1) * shape.slot_ms
    digits = f"up to {shape.digits_max} digits"
    if caller_format is not None:
        digits = f"up to {shape.digits_max - caller_format.signs} digits with its caller"
    return (
        f"sent inside the encryption in {shape.slots} frames, one each {shape.slot_ms} ms, the "
        f"same for every number of {digits}; it takes "
        f"{(shortest_ms + burst_ms) / 1000:.1f} to {(longest_ms + burst_ms) / 1000:.1f} s"
    )


def _phone_sees(link: Link) -> str:
    answered = {
        "after-dialing": "is answered once the number is through",
        "immediately": "is answered as soon as the far end has answered",
        "far-end": "rings and is answered as the far phone does, where the peer is a bridge; "
        "else it is answered once the number is through",
    }[link.answer]
    return f"{answered}; gets 503 when the far end is silent for {link.setup_timeout_s:g} s"


def _routes(configuration: Configuration) -> DescribedSection:
    rows = (
        _emergency(configuration),
        *((route.match.pattern, _route(configuration, route)) for route in configuration.dialplan),
        ("anything else", "404 Not Found"),
    )
    return DescribedSection("Routes, first match of the whole number first", rows)


def _emergency(configuration: Configuration) -> tuple[str, str]:
    emergency = configuration.emergency
    if emergency is None:
        return "Emergency", "none: no number is treated as one"
    numbers = ", ".join(emergency.dialed)
    return "Emergency", f"{numbers}: to trunk {emergency.route} in clear, before any route below"


def _route(configuration: Configuration, route: RouteEntry) -> str:
    if not route.link:
        if route.trunk:
            return f"calls from link {route.from_link} go to trunk {route.trunk} as {route.dial}"
        return f"calls from link {route.from_link} ring {route.to}"
    links = ", else ".join(route.link)
    limits = configuration.links[route.link[0]].limits
    signs = limits.caller_format.signs if limits.caller_format else 0
    caller = " and the caller" if limits.caller_format else ""
    return (
        f"link {links}, sends {route.dial}{caller}; over {limits.digits_max - signs} digits "
        f"{'together ' if caller else ''}or with {limits.terminator} in it: 484"
    )
