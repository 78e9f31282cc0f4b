"""From the configuration to what each part of the bridge takes.

Owns no part and wires none: the composition root does.
"""

import socket
from collections.abc import Callable, Iterator
from typing import Final

import trio

from bridge import config
from bridge.bridging.emergency import EmergencyCall, EmergencyDesk, EmergencyServices
from bridge.bridging.limits import CallLimits
from bridge.bridging.link import Acceptance, Link
from bridge.bridging.phone_side import CallTimes, HoldSource, nothing_on_hold
from bridge.bridging.services import TalkingLeg
from bridge.config import Configuration
from bridge.config.phones import Phone
from bridge.dialing.caller import CallerFormat
from bridge.dialing.delivery import DeliveryPlan, PhoneRoute, TrunkNumber
from bridge.dialing.plan import DialPlan, Route
from bridge.iax2 import CallProfile, ChallengeMemory, Registrant, RegistrationProfile, User
from bridge.media.call_media import CallMedia
from bridge.media.codecs import FORMAT_OF_NAME
from bridge.sip.digest import Algorithm, ha1
from bridge.sip.leg import MakeOffer
from bridge.sip.phones import PhoneSettings
from bridge.sip.registrar import RegistrarSettings
from bridge.sip.sdes import Srtp
from bridge.sip.settings import SipSettings, TlsFiles, TrunkSettings

_ALGORITHMS: Final = {"sha-256": Algorithm.SHA_256, "md5": Algorithm.MD5}


def link(name: str, settings: config.Link, challenges: ChallengeMemory) -> Link:
    """Return a link as calls see it."""
    formats = tuple(FORMAT_OF_NAME[codec] for codec in settings.codecs)
    profile = CallProfile(
        username=settings.username,
        secret=settings.secret.reveal().encode(),
        called_number=settings.extension,
        formats=formats,
        challenges=challenges,
        setup_timeout_s=settings.setup_timeout_s,
        private_key=settings.private_key.key if settings.private_key else None,
        rekey_s=settings.rekey_s,
    )
    return Link(
        name,
        profile,
        settings.envelope,
        answer_immediately=settings.answer == "immediately",
        answer_with_far_end=settings.answer == "far-end",
        tail=settings.tail,
        in_call_digits=settings.in_call_digits,
        calls_max=settings.calls_max,
        acceptance=_acceptance(settings),
    )


def users(configuration: Configuration) -> Iterator[User]:
    """Yield who may call here, for the engine."""
    for link in configuration.links.values():
        if link.accept:
            secret = link.accept.secret.reveal().encode()
            yield User(
                link.accept.username,
                (secret,),
                networks=link.accept.networks,
                rekey_s=link.rekey_s,
                public_key=key.key if (key := link.accept.peer_public_key) else None,
            )


def registrants(configuration: Configuration) -> Iterator[Registrant]:
    """Yield what far ends register here with, by their links' names."""
    for name, link in configuration.links.items():
        if link.registrant:
            secret = link.registrant.secret.reveal().encode()
            yield Registrant(name, link.registrant.username, secret)


def registration_profile(settings: config.Link) -> RegistrationProfile | None:
    """Return how we register with a link's peer; None where we do not."""
    ours = settings.registration
    if ours is None:
        return None
    secret = ours.secret.reveal().encode()
    return RegistrationProfile(settings.register_name, secret, ours.refresh_s)


def _acceptance(settings: config.Link) -> Acceptance | None:
    if settings.accept is None:
        return None
    accept, terminator = settings.accept, settings.dialing.terminator
    caller_format = None
    if accept.caller_id:
        caller_format = CallerFormat.parse(settings.caller_id.format, terminator)
    limits = accept.limits(terminator, caller_format)
    return Acceptance(accept.username, limits, accept.ring_s, caller_format)


def call_limits(configuration: Configuration) -> CallLimits:
    """Return how many calls there may be."""
    limits = configuration.limits
    return CallLimits(limits.calls_max, limits.phone_calls_max, limits.phone_calls_per_s)


def call_times(configuration: Configuration) -> CallTimes:
    """Return how long a call may go on."""
    sip = configuration.sip
    return CallTimes(sip.rtp_timeout_s, sip.hold_timeout_s, configuration.limits.duration_s)


def delivery_plan(configuration: Configuration) -> DeliveryPlan:
    """Return where calls from links go."""
    return DeliveryPlan(
        tuple(
            PhoneRoute(
                entry.match,
                entry.from_link,
                entry.template,
                entry.to.behind_user if entry.to else "",
                entry.trunk or "",
            )
            for entry in configuration.dialplan
            if entry.from_link is not None
        )
    )


def emergency_desk(
    configuration: Configuration,
    plan: DialPlan,
    call: Callable[[TrunkNumber, EmergencyCall, MakeOffer], TalkingLeg],
    open_media: Callable[[str], CallMedia],
) -> EmergencyDesk:
    """Return what takes phones' emergency calls."""
    media_address = configuration.sip.media_address
    services = EmergencyServices(
        clock=trio.current_time,
        call=call,
        open_media=open_media,
        media_address=str(media_address) if media_address else None,
        times=call_times(configuration),
    )
    trunk = configuration.emergency.route if configuration.emergency else ""
    return EmergencyDesk(plan, trunk, services)


def dial_plan(configuration: Configuration) -> DialPlan:
    """Return where phones' calls go."""
    routes = [
        Route(
            entry.match,
            entry.link[0],
            entry.template,
            others=entry.link[1:],
            allow_less_hidden=entry.allow_less_hidden,
        )
        for entry in configuration.dialplan
        if entry.link
    ]
    limits = {name: link.limits for name, link in configuration.links.items()}
    emergency = configuration.emergency.dialed if configuration.emergency else {}
    return DialPlan(tuple(routes), limits, emergency)


def sip_settings(configuration: Configuration) -> SipSettings:
    """Return what the SIP agent needs."""
    sip = configuration.sip
    files = sip.tls
    return SipSettings(
        listen=tuple(str(url) for url in sip.listen),
        allow=sip.allow,
        srtp=None if sip.srtp == "auto" else Srtp(sip.srtp),
        srtp_of={phone.user: Srtp(phone.srtp) for phone in sip.phones if phone.srtp},
        session_expires_s=sip.session_expires_s,
        min_se_s=sip.min_se_s,
        trust_identity=sip.trust_identity,
        tls=TlsFiles(files.certificate, files.key, files.client_ca) if files else None,
        trunks=tuple(_trunk(name, trunk) for name, trunk in configuration.trunks.items()),
    )


def _trunk(name: str, trunk: config.Trunk) -> TrunkSettings:
    return TrunkSettings(
        name=name,
        user=trunk.user,
        password=trunk.password.reveal(),
        domain=trunk.own_domain,
        from_user=trunk.own_user,
        transport=trunk.transport,
        registers=trunk.registers,
        expires_s=trunk.expires_s,
        srtp=Srtp(trunk.srtp),
        calls_max=trunk.calls_max,
    )


def trunk_family(configuration: Configuration, name: str) -> int:
    """Return the family of addresses that a trunk is to be called at."""
    trunk = configuration.trunks[name]
    listens = {
        ":" in url.host for url in configuration.sip.listen if url.transport == trunk.transport
    }
    return socket.AF_INET6 if ":" in trunk.server.host or False not in listens else socket.AF_INET


def own_hosts(configuration: Configuration) -> tuple[str, ...]:
    """Return the hosts that phones may take us for, beside the address that each reaches."""
    sip = configuration.sip
    media = (str(sip.media_address),) if sip.media_address else ()
    return (sip.realm, *(url.host for url in sip.listen), *media)


def rtp_host(configuration: Configuration) -> str:
    """Return where phones' audio arrives while it is not known which of our addresses they reach.

    It is that of SIP, or all of its family where SIP has several.
    """
    first, *others = (url.host for url in configuration.sip.listen)
    is_ipv6 = ":" in first
    if all(other == first or (":" in other) != is_ipv6 for other in others):
        return first
    return "::" if is_ipv6 else "0.0.0.0"  # noqa: S104  some of them are SIP's


def hold_source(configuration: Configuration) -> HoldSource:
    """Return what makes the audio that far ends hear while a phone holds."""
    music = configuration.sip.hold_music
    return music.source if music else nothing_on_hold


def phone_settings(configuration: Configuration) -> PhoneSettings:
    """Return who may register, and how."""
    sip = configuration.sip
    bounds = sip.registration
    algorithms = tuple(_ALGORITHMS[name] for name in sip.digest_offered)
    return PhoneSettings(
        users=tuple(phone.user for phone in sip.phones),
        realm=sip.realm,
        algorithms=algorithms,
        kept={
            (algorithm, phone.user): _ha1(phone, algorithm, sip.realm)
            for phone in sip.phones
            for algorithm in algorithms
        },
        allow=sip.allow,
        state_dir=configuration.state_dir,
        keep_alive_s=bounds.keep_alive_s,
        registrar=RegistrarSettings(bounds.min_expires_s, bounds.max_expires_s, bounds.contacts),
    )


def _ha1(phone: Phone, algorithm: Algorithm, realm: str) -> str:
    stored = phone.ha1_md5 if algorithm is Algorithm.MD5 else phone.ha1_sha256
    if phone.password:
        return ha1(algorithm, phone.user, realm, phone.password.reveal())
    assert stored is not None  # noqa: S101  # else the algorithm would not be offered
    return stored.reveal().lower()
