"""The schema: frozen models, one for each section of the file.

A loaded configuration is a snapshot that nothing changes; a call keeps the one that it began
with. Defaults are here and nowhere else. There is no option that turns encryption off.

Checks that look at two keys are field validators of the later one: pydantic then reports every
error of the file at once. So the order of the fields matters where a validator says so.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    ConfigDict,
    Field,
    PlainValidator,
    ValidationInfo,
    field_validator,
)

from bridge.config import values
from bridge.config.accepting import Accept, secrets_apart
from bridge.config.codecs import Codecs
from bridge.config.dialing import SLOTS, SLOTS_WITH_CALLER, CallerId, Dialing
from bridge.config.hiding import hide_as_much
from bridge.config.limits import CALLS_MAX, Limits
from bridge.config.registering import (
    LinkSecret,
    Register,
    Registrant,
    registrants_apart,
    registrations_apart,
)
from bridge.config.routes import RouteEntry
from bridge.config.rsa_key import PrivateKey, fitting, private_key_of
from bridge.config.secret import Secret
from bridge.config.section import SecretField, Section, load_context
from bridge.config.sip import Sip
from bridge.config.trunks import (
    Emergency,
    EmergencyField,
    Trunk,
    check_emergency,
    frozen_trunks,
)
from bridge.config.values import expected, refusal
from bridge.dialing.caller import CallerFormat, CallerFormatError
from bridge.dialing.envelope import Envelope
from bridge.dialing.plan import DigitLimits


def _private_key(value: object, info: ValidationInfo) -> PrivateKey | None:
    return fitting(private_key_of(value, load_context(info).folder), info.data.get("auth"))


class Link(Section):
    """One site link: an IAX2 peer, always encrypted."""

    peer: values.Peer = Field(
        description="the far end as host or host:port (default port 4569), or dynamic: where it "
        "registers from"
    )
    username: values.Username = Field(description="the name that the far end knows this site by")
    # Before `secret`, whose check looks at it.
    allow_weak_secret: values.Flag = Field(
        default=False, description="accept a secret that can be guessed; siax check keeps warning"
    )
    secret: SecretField = Field(description="{file: PATH} or {env: NAME}; see siax keygen")
    auth: Annotated[Literal["md5", "rsa"], values.one_of("md5", "rsa")] = Field(
        "md5", description="how this side proves who it is: by the secret, or by a signature too"
    )
    # After `auth`, whose check looks at it.
    private_key: Annotated[PrivateKey | None, PlainValidator(_private_key)] = Field(
        None, validate_default=True, description="{file: PATH} of the RSA key that auth: rsa needs"
    )
    accept: Accept | None = Field(
        None, description="calls that the far end places here, to the same extension"
    )
    registration: Register | None = Field(
        None, alias="register", description="our registration with the far end"
    )
    # Behind `peer`, which says whether it is needed.
    registrant: Registrant | None = Field(
        None,
        validate_default=True,
        description="what the far end registers here with, where peer is dynamic",
    )
    extension: values.Extension = Field(
        "enc", description="the far end's single extension for all encrypted calls"
    )
    codecs: Codecs = Field(
        ("ulaw", "alaw"), description="codecs of this link in order, all of one frame size"
    )
    dialing: Dialing = Field(default_factory=Dialing, description="the shape of the dialing")
    # After `dialing`, whose terminator its format ends with.
    caller_id: CallerId = Field(default_factory=CallerId, description="who calls")
    answer: Annotated[
        Literal["after-dialing", "immediately", "far-end"],
        values.one_of("after-dialing", "immediately", "far-end"),
    ] = Field("after-dialing", description="when the phone gets its 200")
    in_call_digits: values.Flag = Field(
        default=True, description="send the keys pressed in the call; off: drop and count them"
    )
    tail: values.Flag = Field(
        default=False, description="let up to 2 s of silence, at random, come before each HANGUP"
    )
    setup_timeout_s: Annotated[float, values.seconds(1, 60)] = Field(
        8.0, description="how long a silent peer is waited for before the phone gets 503"
    )
    rekey_s: Annotated[float | None, values.seconds(10, 86_400)] = Field(
        None, description="send a new random key each so many seconds of a call; none: never"
    )
    calls_max: Annotated[int, values.whole_number(1, CALLS_MAX)] | None = Field(
        None, description="calls of this link at a time, in both directions"
    )
    qualify_s: Annotated[float | None, values.seconds_or_off(5, 3600)] = Field(
        60.0, description="how often the peer is asked whether it is there, in seconds, or off"
    )

    @field_validator("secret")
    @classmethod
    def _secret_is_strong(cls, secret: Secret, info: ValidationInfo) -> Secret:
        _check_strength(secret, info)
        return secret

    @field_validator("caller_id")
    @classmethod
    def _caller_fits_dialing(cls, caller_id: CallerId, info: ValidationInfo) -> CallerId:
        dialing = info.data.get("dialing")
        accept = info.data.get("accept")
        is_used = caller_id.send or (accept is not None and accept.caller_id)
        if is_used and isinstance(dialing, Dialing):
            try:
                CallerFormat.parse(caller_id.format, dialing.terminator)
            except CallerFormatError as error:
                raise refusal(str(error), "format") from None
        return caller_id

    @property
    def envelope(self) -> Envelope:
        """The shape of the dialing as the plain value that `bridge.dialing` works with."""
        default = SLOTS_WITH_CALLER if self.caller_id.send else SLOTS
        dialing = self.dialing
        slots = dialing.slots or default
        return Envelope(slots, dialing.slot_ms, dialing.start_ms, dialing.terminator)

    @property
    def limits(self) -> DigitLimits:
        """What a number, with its caller where that is sent, must keep to."""
        terminator = self.dialing.terminator
        sends, text = self.caller_id.send, self.caller_id.format
        caller_format = CallerFormat.parse(text, terminator) if sends else None
        return DigitLimits(self.envelope.digits_max, terminator, caller_format)

    @field_validator("accept", "registration", "registrant")
    @classmethod
    def _other_secrets_are_strong(
        cls, section: Accept | Register | Registrant | None, info: ValidationInfo
    ) -> Accept | Register | Registrant | None:
        if section is not None:
            _check_strength(section.secret, info, "secret")
        return section

    @field_validator("registrant")
    @classmethod
    def _registers_where_dynamic(
        cls, registrant: Registrant | None, info: ValidationInfo
    ) -> Registrant | None:
        peer = info.data.get("peer")
        if peer == "dynamic" and registrant is None:
            raise refusal("is missing: {username, secret} that the far end registers here with")
        if isinstance(peer, values.HostPort) and registrant is not None:
            raise refusal("is for a far end without an address of its own: peer: dynamic")
        return registrant

    @property
    def register_name(self) -> str:
        """The name that we register with, where we do."""
        own = self.registration.username if self.registration else None
        return own or self.username


def _check_strength(secret: Secret, info: ValidationInfo, *below: str) -> None:
    weakness = secret.strength.weakness
    if weakness and info.data.get("allow_weak_secret") is False:
        raise refusal(
            f"the secret {weakness}: whoever watches the link could guess it. Make a strong "
            "one with siax keygen, or set allow_weak_secret: true on this link",
            *below,
        )


class Iax(Section):
    """The side of the links."""

    bind: values.Bind = Field(
        values.HostPort("0.0.0.0", values.IAX2_PORT),  # noqa: S104  links may be on any interface
        description="the address and UDP port that IAX2 is spoken from",
    )


class Metrics(Section):
    """Figures for Prometheus; nobody's unless asked for."""

    listen: values.MetricsAddress | None = Field(
        None, description="where /metrics is answered, over HTTP and without a password"
    )


def _frozen_links(links: dict[str, Link]) -> Mapping[str, Link]:
    if not links:
        raise expected("at least one link")
    accepting = {name: link.accept for name, link in links.items() if link.accept}
    secrets_apart(accepting, {name: link.secret for name, link in links.items()})
    registrations_apart(_calling(links), registering(links))
    registrants_apart({name: link.registrant for name, link in links.items() if link.registrant})
    return MappingProxyType(links)


def registering(links: Mapping[str, Link]) -> Iterator[LinkSecret]:
    """Yield the secrets of registrations, ours and far ends'."""
    for name, link in links.items():
        if link.registration:
            yield LinkSecret((name, "register", "secret"), link.registration.secret)
        if link.registrant:
            yield LinkSecret((name, "registrant", "secret"), link.registrant.secret)


def _calling(links: Mapping[str, Link]) -> Iterator[LinkSecret]:
    for name, link in links.items():
        yield LinkSecret((name, "secret"), link.secret)
        if link.accept:
            yield LinkSecret((name, "accept", "secret"), link.accept.secret)


def _state_folder(value: object, info: ValidationInfo) -> Path:
    context = load_context(info)
    if isinstance(value, Path):
        # The default, but a service manager that made a folder for us knows better.
        return context.folder / context.environment.get("STATE_DIRECTORY", value)
    return values.path_in(context.folder, value, "a folder")


StateFolder = Annotated[Path, PlainValidator(_state_folder)]


class StatePlace(Section):
    """The one key that finds a running service, for who may not read its secrets."""

    model_config = ConfigDict(extra="ignore")

    state_dir: StateFolder = Field(Path("state"), validate_default=True)


class Configuration(Section):
    """The whole file."""

    site: values.Name = Field("siax", description="the name of this site, in logs and status")
    allow_inline_secrets: values.Flag = Field(
        default=False, description="accept secrets written into this file"
    )
    state_dir: StateFolder = Field(
        Path("state"),
        validate_default=True,
        description="folder for what must survive a restart; relative to this file",
    )
    sip: Sip = Field(default_factory=Sip, description="the side of the phones")
    iax: Iax = Field(default_factory=Iax, description="the side of the links")
    limits: Limits = Field(default_factory=Limits, description="bounds on calls")
    metrics: Metrics = Field(default_factory=Metrics, description="figures for Prometheus")
    links: Annotated[Mapping[values.LinkName, Link], AfterValidator(_frozen_links)] = Field(
        description="at least one link, by its name"
    )
    # Behind `sip`, which must listen where they call from.
    trunks: Annotated[Mapping[values.LinkName, Trunk], AfterValidator(frozen_trunks)] = Field(
        default_factory=dict,
        validate_default=True,
        description="SIP servers that calls are placed on, by their names",
    )
    # Behind `trunks`, of which it names one.
    emergency: EmergencyField = Field(
        description="{numbers: [112, 911], route: TRUNK}, the numbers that never go over a link "
        "but to a trunk, in clear; or none, where phones call no such numbers here"
    )
    dialplan: tuple[RouteEntry, ...] = Field(
        (), description="which numbers go to which link, first match first"
    )

    @field_validator("trunks")
    @classmethod
    def _trunks_have_a_transport(
        cls, trunks: Mapping[str, Trunk], info: ValidationInfo
    ) -> Mapping[str, Trunk]:
        sip = info.data.get("sip")
        for name, trunk in trunks.items():
            if isinstance(sip, Sip) and trunk.transport not in {u.transport for u in sip.listen}:
                text = f"sip.listen has no {trunk.transport}://, which calls to it leave from"
                raise refusal(text, name, "transport")
        return trunks

    @field_validator("emergency")
    @classmethod
    def _emergency_has_a_trunk(
        cls, emergency: Emergency | None, info: ValidationInfo
    ) -> Emergency | None:
        if "trunks" in info.data:
            check_emergency(emergency, info.data["trunks"])
        return emergency

    @field_validator("dialplan")
    @classmethod
    def _calls_come_from_accepting_links(
        cls, dialplan: tuple[RouteEntry, ...], info: ValidationInfo
    ) -> tuple[RouteEntry, ...]:
        links = info.data.get("links", {})
        for index, route in enumerate(dialplan):
            if route.from_link in links and links[route.from_link].accept is None:
                raise refusal("this link takes no calls: it has no `accept`", index, "from")
        return dialplan

    @field_validator("dialplan")
    @classmethod
    def _links_behind_the_first_hide_as_much(
        cls, dialplan: tuple[RouteEntry, ...], info: ValidationInfo
    ) -> tuple[RouteEntry, ...]:
        hide_as_much(dialplan, info.data.get("links", {}))
        return dialplan
