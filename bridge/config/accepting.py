"""Calls that a far end places here: who may, and which phone rings."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Final

from pydantic import AfterValidator, Field, PlainValidator, ValidationInfo

from bridge.config import values
from bridge.config.rsa_key import PublicKey, public_key_of
from bridge.config.secret import Secret
from bridge.config.section import SecretField, Section, load_context
from bridge.config.values import HostPort, expected, is_ip_address, refusal, split_host_port
from bridge.dialing.caller import CallerFormat
from bridge.dialing.collector import DIGITS_MAX, CollectionLimits

_REGISTERED: Final = re.compile(r"phone:(?P<user>[A-Za-z0-9_.!~*'()&=+$,/{}-]{1,64})", re.ASCII)
_PHONE_URI: Final = re.compile(
    r"sip:(?P<user>[A-Za-z0-9_.!~*'()&=+$,/{}-]{1,64})@(?P<place>[^;@]{1,64})"
    r"(?:;transport=(?P<transport>udp|tcp))?",
    re.ASCII,
)


def _networks(networks: tuple[values.IpNetwork, ...]) -> tuple[values.IpNetwork, ...]:
    if not networks:
        raise expected("at least one network, like [192.0.2.1]")
    return networks


def _public_key(value: object, info: ValidationInfo) -> PublicKey | None:
    return public_key_of(value, load_context(info).folder)


class Accept(Section):
    """Calls that the far end of a link places here."""

    username: values.Username = Field(description="the name that the far end calls with")
    secret: SecretField = Field(description="{file: PATH} or {env: NAME}; another than the link's")
    networks: Annotated[tuple[values.Network, ...], AfterValidator(_networks)] = Field(
        alias="from", description="networks that such calls may come from"
    )
    peer_public_key: Annotated[PublicKey | None, PlainValidator(_public_key)] = Field(
        None,
        description="{file: PATH} of the RSA key that the far end has to sign with beside knowing "
        "the secret; none: the secret is enough",
    )
    digits_max: Annotated[int, values.whole_number(1, DIGITS_MAX)] = Field(
        32, description="the longest number that is taken; a longer one is refused"
    )
    inter_digit_s: Annotated[float, values.seconds(1, 60)] = Field(
        5.0, description="after so long without another digit, or the terminator, a number is whole"
    )
    dialing_s: Annotated[float, values.seconds(2, 120)] = Field(
        20.0, description="how long after the answer digits are taken at all"
    )
    ring_s: Annotated[float, values.seconds(5, 600)] = Field(
        60.0, description="how long a phone rings before the call ends unanswered"
    )

    caller_id: values.Flag = Field(
        default=False,
        description="the far end sends who calls, as the link's caller_id.format has it; the phone "
        "that rings sees it",
    )

    def limits(
        self, terminator: str, caller_format: CallerFormat | None = None
    ) -> CollectionLimits:
        """The same as the plain value that `bridge.dialing` works with."""
        digits_max = self.digits_max
        if caller_format is not None:
            digits_max += caller_format.room
        return CollectionLimits(terminator, digits_max, self.inter_digit_s, self.dialing_s)


def secrets_apart(accepting: Mapping[str, Accept], secrets: Mapping[str, Secret]) -> None:
    """Refuse accepted secrets that a link calls with, and users that would be one.

    With one secret for both ways, our own challenge, sent back to us, would be answered by us.
    """
    named: dict[str, str] = {}
    for name, accept in accepting.items():
        for other, secret in secrets.items():
            if secret == accept.secret:
                text = f"the secret that link {other} calls with: make another, siax keygen"
                raise refusal(text, name, "accept", "secret")
        first = named.setdefault(accept.username, name)
        if first != name:
            raise refusal(f"link {first} accepts this name already", name, "accept", "username")


@dataclass(frozen=True, slots=True)
class PhoneUri:
    """Where a phone is; `user` may hold groups of a route's expression, like {1}.

    Attributes:
        user: The user part, or the name of a phone that registers.
        place: None for a phone that registers: it says itself where it is.
    """

    user: str
    place: HostPort | None = None
    transport: str = "udp"

    @property
    def behind_user(self) -> str:
        """What stands behind its '@'; empty for a phone that registers."""
        return f"{self.place};transport={self.transport}" if self.place else ""

    def __str__(self) -> str:
        return f"sip:{self.user}@{self.behind_user}" if self.place else f"phone:{self.user}"


def _phone_uri(value: object) -> PhoneUri:
    if isinstance(value, str) and (registered := _REGISTERED.fullmatch(value)):
        return PhoneUri(registered["user"])
    found = _PHONE_URI.fullmatch(value) if isinstance(value, str) else None
    place = split_host_port(found["place"], values.SIP_PORT) if found else None
    # A name would have to be looked up while all calls wait.
    if found is None or place is None or not is_ip_address(place.host):
        raise expected(
            "sip:USER@ADDRESS:PORT, an IP address, like 'sip:{0}@192.0.2.30' (;transport=tcp may "
            "follow), or phone:USER, one of sip.phones, like 'phone:{0}'"
        )
    return PhoneUri(found["user"], place, found["transport"] or "udp")


PhoneUriField = Annotated[PhoneUri, PlainValidator(_phone_uri)]
