"""SIP trunks, and the emergency numbers that go there: the sections `trunks` and `emergency`."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BeforeValidator, Field, PlainValidator

from bridge.config import values
from bridge.config.limits import CALLS_MAX
from bridge.config.section import SecretField, Section
from bridge.config.values import HostPort, expected, refusal, split_host_port


def _server(value: object) -> HostPort:
    if isinstance(value, str) and (server := split_host_port(value, values.SIP_PORT)):
        return server
    raise expected(
        f"a host or host:port (port {values.SIP_PORT} if none is given), IPv6 in brackets"
    )


def _domain(value: object) -> str:
    place = split_host_port(value, values.SIP_PORT) if isinstance(value, str) else None
    if place is None or place.host != str(value).strip("[]"):
        raise expected("a host without a port, like sip.example.com")
    return place.host


NO_EMERGENCY: Final = "none"


class Trunk(Section):
    """A SIP server that calls from links, and emergency calls, are placed on."""

    server: Annotated[HostPort, PlainValidator(_server)] = Field(
        description="where it is: host or host:port (default port 5060)"
    )
    transport: Annotated[Literal["udp", "tcp"], values.one_of("udp", "tcp")] = Field(
        "udp", description="what SIP goes over; sip.listen must have it, too"
    )
    user: Annotated[
        str, values.text_like(r'[^\s"\\]{1,64}', "a user name without spaces and quotes")
    ] = Field(description="whom it asks for the password")
    password: SecretField = Field(
        description="{file: PATH} or {env: NAME}; proved by digest, never sent"
    )
    domain: Annotated[str, PlainValidator(_domain)] | None = Field(
        None, description="what stands behind the '@' of its URIs; none: the host of server"
    )
    from_user: (
        Annotated[
            str,
            values.text_like(
                r"[A-Za-z0-9_.!~*'()&=+$,/-]{1,64}", "the user part of a SIP URI, like +15550100"
            ),
        ]
        | None
    ) = Field(None, description="who calls, in From; none: user")
    registers: values.Flag = Field(
        default=True, alias="register", description="register with it; off: ask whether it answers"
    )
    expires_s: Annotated[int, values.whole_number(60, 86_400)] = Field(
        600, description="how long a registration is asked for, in seconds"
    )
    srtp: Annotated[
        Literal["off", "optional", "required"], values.one_of("off", "optional", "required")
    ] = Field("off", description="encrypted audio; who reads the SIP reads the keys")
    calls_max: Annotated[int, values.whole_number(1, CALLS_MAX)] | None = Field(
        None, description="calls of this trunk at a time; emergency calls do not count"
    )

    @property
    def own_user(self) -> str:
        """Who calls and registers."""
        return self.from_user or self.user

    @property
    def own_domain(self) -> str:
        """What stands behind the '@' of its URIs."""
        return self.domain or self.server.host


def _numbers(numbers: tuple[str, ...]) -> tuple[str, ...]:
    if not numbers or len(set(numbers)) != len(numbers):
        raise expected("at least one number, each once, like [112, 911]")
    return numbers


Number = Annotated[
    str, values.text_like(r"\+?[0-9*#]{1,32}", "a number as a phone dials it, like 112")
]


class Emergency(Section):
    """The numbers that never go over a link."""

    numbers: Annotated[tuple[Number, ...], AfterValidator(_numbers)] = Field(
        description="emergency numbers as phones dial them"
    )
    route: values.LinkName = Field(description="the trunk that takes them, in clear")
    outside_line: Annotated[str, values.text_like("[0-9*#]{1,8}", "digits, like 9")] | None = Field(
        None, description="what phones may dial before them, like 9: it is not sent"
    )

    @property
    def dialed(self) -> Mapping[str, str]:
        """What phones may dial, with the number that the trunk gets."""
        prefix = self.outside_line or ""
        return {prefix + number: number for number in self.numbers} | {
            number: number for number in self.numbers
        }


def _none_or_section(value: object) -> object:
    if value == NO_EMERGENCY:
        return None
    if not isinstance(value, Mapping | Emergency):
        raise expected("none, or {numbers: [112, 911], route: TRUNK}")
    return value


EmergencyField = Annotated[Emergency | None, BeforeValidator(_none_or_section)]


def frozen_trunks(trunks: dict[str, Trunk]) -> Mapping[str, Trunk]:
    """Return the trunks as a mapping that nothing changes."""
    return MappingProxyType(trunks)


def check_emergency(emergency: Emergency | None, trunks: Mapping[str, Trunk]) -> None:
    """Refuse a route to a trunk that there is not."""
    if emergency is not None and emergency.route not in trunks:
        known = ", ".join(sorted(trunks)) or "none is configured"
        raise refusal(f"expected the name of a trunk ({known})", "route")
