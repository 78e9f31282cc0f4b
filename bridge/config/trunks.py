"""SIP trunks: servers that calls are placed on."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Literal

from pydantic import Field, PlainValidator

from bridge.config import values
from bridge.config.limits import CALLS_MAX
from bridge.config.section import SecretField, Section
from bridge.config.values import HostPort, expected, split_host_port


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


def frozen_trunks(trunks: dict[str, Trunk]) -> Mapping[str, Trunk]:
    """Return the trunks as a mapping that nothing changes."""
    return MappingProxyType(trunks)
