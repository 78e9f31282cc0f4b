"""The schema: frozen models, one for each section of the file.

A loaded configuration is a snapshot that nothing changes; a call keeps the one that it began
with. Defaults are here and nowhere else. There is no option that turns encryption off.

Checks that look at two keys are field validators of the later one: pydantic then reports every
error of the file at once. So the order of the fields matters where a validator says so.
"""

import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Final, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PlainValidator,
    ValidationInfo,
    field_validator,
    model_validator,
)

from bridge.config import values
from bridge.config.secret import (
    Secret,
    SecretError,
    checked,
    secret_from_environment,
    secret_from_file,
)
from bridge.config.values import expected, refusal
from bridge.dialing.envelope import Envelope
from bridge.dialing.plan import DTMF_DIGITS, DialTemplate, DialTemplateError, DigitLimits

EXPRESSION_CHARACTERS_MAX: Final = 256
START_MS_MAX: Final = 5000


@dataclass(frozen=True, slots=True)
class LoadContext:
    """What checks need to know beside the value: pass it as pydantic's validation context."""

    folder: Path = Path()
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    allow_inline_secrets: bool = False
    link_names: frozenset[str] = frozenset()


def _context(info: ValidationInfo) -> LoadContext:
    return info.context if isinstance(info.context, LoadContext) else LoadContext()


class Section(BaseModel):
    """A mapping of the file: frozen, no unknown keys, and a key without a value is not there."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        arbitrary_types_allowed=True,
        hide_input_in_errors=True,
        populate_by_name=False,
    )

    @model_validator(mode="before")
    @classmethod
    def _drop_keys_without_value(cls, data: object) -> object:
        if not isinstance(data, dict):
            return data
        return {
            key: value
            for key, value in data.items()
            if value is not None or key not in cls.model_fields
        }


def _secret(value: object, info: ValidationInfo) -> Secret:
    try:
        return _read_secret(value, _context(info))
    except SecretError as error:
        raise refusal(str(error), error.key) from None


def _read_secret(value: object, context: LoadContext) -> Secret:
    match value:
        case {"file": str(name), **others} if name and not others:
            return secret_from_file(context.folder / Path(name).expanduser(), name)
        case {"env": str(name), **others} if name and not others:
            return secret_from_environment(name, context.environment)
        case str() if context.allow_inline_secrets:
            return Secret(checked(value), "the configuration file itself")
        case str():
            raise SecretError(
                "a secret written into the configuration is refused: use {file: PATH} or "
                "{env: NAME}, or set allow_inline_secrets: true at the top"
            )
        case _:
            raise SecretError("expected {file: PATH} or {env: NAME}")


def _codecs(value: tuple[str, ...]) -> tuple[str, ...]:
    if not value or len(set(value)) != len(value):
        raise expected("a list of codecs, each once")
    return value


Codec = Annotated[Literal["ulaw", "alaw"], values.one_of("ulaw", "alaw")]
SecretField = Annotated[Secret, PlainValidator(_secret)]


def _start_range(value: object) -> tuple[int, int]:
    match value:
        case [low, high] if all(re.fullmatch("[0-9]{1,5}", str(part)) for part in value):
            if int(str(low)) <= int(str(high)) <= START_MS_MAX:
                return int(str(low)), int(str(high))
    raise expected(
        f"[shortest, longest] in ms, the shortest first, from 0 to {START_MS_MAX}, like [200, 600]"
    )


def _terminator(value: object) -> str:
    if isinstance(value, str) and value in DTMF_DIGITS:
        return value
    raise expected('one DTMF digit: 0-9, "*", "#" or A-D, in quotes, like "#"')


class Dialing(Section):
    """The envelope that hides the number: the same burst of frames for every call of a link."""

    slots: Annotated[int, values.whole_number(2, 128)] = Field(
        26, description="frames in the burst: one for each digit, one for the terminator"
    )
    slot_ms: Annotated[int, values.whole_number(20, 500)] = Field(
        60, description="time from one of these frames to the next, in ms"
    )
    start_ms: Annotated[tuple[int, int], PlainValidator(_start_range)] = Field(
        (200, 600), description="range of the random delay from the answer to the burst, in ms"
    )
    terminator: Annotated[str, PlainValidator(_terminator)] = Field(
        "#", description="the digit that ends the number, always in the last slot"
    )

    @property
    def envelope(self) -> Envelope:
        """The same as the plain value that `bridge.dialing` works with."""
        return Envelope(self.slots, self.slot_ms, self.start_ms, self.terminator)

    @property
    def limits(self) -> DigitLimits:
        """What a number must keep to."""
        return DigitLimits(self.envelope.digits_max, self.terminator)


class Link(Section):
    """One site link: an IAX2 peer, always encrypted."""

    peer: values.Peer = Field(description="the far end as host or host:port (default port 4569)")
    username: values.Username = Field(description="the name that the far end knows this site by")
    # Before `secret`, whose check looks at it.
    allow_weak_secret: values.Flag = Field(
        default=False, description="accept a secret that can be guessed; siax check keeps warning"
    )
    secret: SecretField = Field(description="{file: PATH} or {env: NAME}; see siax keygen")
    auth: Annotated[Literal["md5"], values.one_of("md5")] = Field(
        "md5", description="how both sides prove the secret"
    )
    extension: values.Extension = Field(
        "enc", description="the far end's single extension for all encrypted calls"
    )
    codecs: Annotated[tuple[Codec, ...], AfterValidator(_codecs)] = Field(
        ("ulaw", "alaw"), description="codecs of this link in order, all of one frame size"
    )
    dialing: Dialing = Field(default_factory=Dialing, description="the shape of the dialing")
    answer: Annotated[
        Literal["after-dialing", "immediately"], values.one_of("after-dialing", "immediately")
    ] = Field("after-dialing", description="when the phone gets its 200")
    setup_timeout_s: Annotated[float, values.seconds(1, 60)] = Field(
        8.0, description="how long a silent peer is waited for before the phone gets 503"
    )

    @field_validator("secret")
    @classmethod
    def _secret_is_strong(cls, secret: Secret, info: ValidationInfo) -> Secret:
        weakness = secret.strength.weakness
        if weakness and info.data.get("allow_weak_secret") is False:
            raise refusal(
                f"the secret {weakness}: whoever watches the link could guess it. Make a strong "
                "one with siax keygen, or set allow_weak_secret: true on this link"
            )
        return secret


class Sip(Section):
    """The side of the phones."""

    listen: tuple[values.Listen, ...] = Field(
        (
            values.ListenUrl("udp", "0.0.0.0", values.SIP_PORT),  # noqa: S104  the phones' side
            values.ListenUrl("tcp", "0.0.0.0", values.SIP_PORT),  # noqa: S104  is for all of them
        ),
        description="where phones reach the bridge",
    )
    media_address: values.Address | None = Field(
        None, description="the address in SDP; by default the one that the phone reached"
    )
    rtp_ports: values.Ports = Field(
        values.PortRange(20000, 29999), description="UDP ports for the phones' audio, two a call"
    )
    allow: tuple[values.Network, ...] = Field(
        (), description="networks whose phones may call without a password; empty: nobody"
    )
    rtp_timeout_s: Annotated[float, values.seconds(5, 86_400)] = Field(
        60.0, description="a call ends when its phone has sent no audio for so long"
    )
    hold_timeout_s: Annotated[float, values.seconds(5, 604_800)] = Field(
        3600.0, description="the same while the phone holds the call"
    )
    tones: values.Country = Field(
        "us", description="the country whose ringback, busy and congestion tones phones hear"
    )

    @field_validator("listen")
    @classmethod
    def _listens_somewhere_once(
        cls, listen: tuple[values.ListenUrl, ...]
    ) -> tuple[values.ListenUrl, ...]:
        if not listen or len(set(listen)) != len(listen):
            raise expected("a list of addresses to listen on, each once")
        return listen


class Iax(Section):
    """The side of the links."""

    bind: values.Bind = Field(
        values.HostPort("0.0.0.0", values.IAX2_PORT),  # noqa: S104  links may be on any interface
        description="the address and UDP port that IAX2 is spoken from",
    )


def _expression(value: object) -> re.Pattern[str]:
    if not isinstance(value, str) or not 0 < len(value) <= EXPRESSION_CHARACTERS_MAX:
        raise expected(
            f"a regular expression of at most {EXPRESSION_CHARACTERS_MAX} characters in single "
            r"quotes, like '^9(\d+)$'"
        )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            return re.compile(value, re.ASCII)
        except (re.error, OverflowError, RecursionError, Warning) as error:
            reason = error.msg if isinstance(error, re.error) else "it says something else"
            raise refusal(f"no regular expression of Python: {reason}") from None


class RouteEntry(Section):
    """One line of the dial plan; the first whose expression matches the whole number is taken."""

    match: Annotated[re.Pattern[str], PlainValidator(_expression)] = Field(
        description="a regular expression for the whole called number, like '^9(\\d+)$'"
    )
    link: str = Field(description="the link that such calls take")
    # After `match`, whose groups it names.
    dial: Annotated[str, values.text_like(r".{0,64}", "a template like '{1}'")] = Field(
        "{0}", description="the digits to send: text and groups of match, {0} is the whole number"
    )

    @field_validator("link")
    @classmethod
    def _link_exists(cls, link: str, info: ValidationInfo) -> str:
        names = _context(info).link_names
        if link not in names:
            known = ", ".join(sorted(names)) or "none is configured"
            raise expected(f"the name of a link ({known})")
        return link

    @field_validator("dial")
    @classmethod
    def _dial_fits_match(cls, dial: str, info: ValidationInfo) -> str:
        expression = info.data.get("match")
        if isinstance(expression, re.Pattern):
            try:
                template = DialTemplate.parse(dial, expression)
            except DialTemplateError as error:
                raise refusal(str(error)) from None
            if not DTMF_DIGITS.issuperset(template.literal_digits.upper()):
                raise expected("DTMF digits (0-9 * # A-D) and groups like {1}")
        return dial

    @property
    def template(self) -> DialTemplate:
        """The template, ready to be filled in."""
        return DialTemplate.parse(self.dial, self.match)


def _frozen_links(links: dict[str, Link]) -> Mapping[str, Link]:
    if not links:
        raise expected("at least one link")
    return MappingProxyType(links)


def _state_folder(value: object, info: ValidationInfo) -> Path:
    context = _context(info)
    if isinstance(value, Path):
        # The default, but a service manager that made a folder for us knows better.
        return context.folder / context.environment.get("STATE_DIRECTORY", value)
    if not isinstance(value, str) or not value or not value.isprintable():
        raise expected("a folder")
    return context.folder / Path(value).expanduser()


class Configuration(Section):
    """The whole file."""

    site: values.Name = Field("siax", description="the name of this site, in logs and status")
    allow_inline_secrets: values.Flag = Field(
        default=False, description="accept secrets written into this file"
    )
    state_dir: Annotated[Path, PlainValidator(_state_folder)] = Field(
        Path("state"),
        validate_default=True,
        description="folder for what must survive a restart; relative to this file",
    )
    sip: Sip = Field(default_factory=Sip, description="the side of the phones")
    iax: Iax = Field(default_factory=Iax, description="the side of the links")
    links: Annotated[Mapping[values.LinkName, Link], AfterValidator(_frozen_links)] = Field(
        description="at least one link, by its name"
    )
    dialplan: tuple[RouteEntry, ...] = Field(
        (), description="which numbers go to which link, first match first"
    )
