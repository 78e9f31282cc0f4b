"""The section `sip`: where phones reach the bridge, what their audio is, and who they are.

As in `models`, the order of the fields matters where a validator looks at an earlier one.
"""

from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator

from bridge.config import values
from bridge.config.phones import (
    DigestAlgorithms,
    HoldMusicField,
    Phone,
    Registration,
    Tls,
    digest_of,
)
from bridge.config.section import Section
from bridge.config.values import expected, refusal


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
    trust_identity: tuple[values.Network, ...] = Field(
        (),
        description="networks of exchanges that are believed whom they assert to call, and told"
        " who calls from a link, in P-Asserted-Identity; empty: nobody",
    )
    srtp: Annotated[
        Literal["auto", "off", "optional", "required"],
        values.one_of("auto", "off", "optional", "required"),
    ] = Field(
        "auto", description="encrypted audio of phones; auto: required over TLS, optional else"
    )
    rtp_timeout_s: Annotated[float, values.seconds(5, 86_400)] = Field(
        60.0, description="a call ends when its phone has sent no audio for so long"
    )
    hold_timeout_s: Annotated[float, values.seconds(5, 604_800)] = Field(
        3600.0, description="the same while the phone holds the call"
    )
    hold_music: HoldMusicField | None = Field(
        None,
        description="what the far end hears while a phone holds the call: comfort, or "
        "{file: PATH} of a WAV file in G.711; none: what the phone sends",
    )
    min_se_s: Annotated[int, values.whole_number(90, 86_400)] = Field(
        90, description="the shortest session timer that a phone may ask for (RFC 4028)"
    )
    # Behind `min_se_s`, which bounds it.
    session_expires_s: Annotated[int, values.whole_number(90, 86_400)] = Field(
        1800,
        validate_default=True,
        description="the session timer that calls to phones propose",
    )
    in_band_digits: values.Flag = Field(
        default=False, description="hear digits in the audio of phones that have no other way"
    )
    tones: values.Country = Field(
        "us", description="the country whose ringback, busy and congestion tones phones hear"
    )
    # Behind `listen`, which may need it.
    tls: Tls | None = Field(
        None, validate_default=True, description="certificates for tls:// in listen"
    )
    realm: values.Realm = Field(
        "siax", description="the name that stored hashes of passwords are made with"
    )
    digest: DigestAlgorithms = Field(
        ("sha-256", "md5"), description="how phones may prove their password, the best first"
    )
    registration: Registration = Field(
        default_factory=Registration, description="bounds on what phones register"
    )
    # Behind `digest`, which says what they need.
    phones: tuple[Phone, ...] = Field(
        (), description="phones that may call with a password, and register"
    )

    @field_validator("listen")
    @classmethod
    def _listens_somewhere_once(
        cls, listen: tuple[values.ListenUrl, ...]
    ) -> tuple[values.ListenUrl, ...]:
        if not listen or len(set(listen)) != len(listen):
            raise expected("a list of addresses to listen on, each once")
        return listen

    @field_validator("session_expires_s")
    @classmethod
    def _is_no_less_than_min_se(cls, longest: int, info: ValidationInfo) -> int:
        if longest < info.data.get("min_se_s", 0):
            raise expected("at least min_se_s")
        return longest

    @field_validator("tls")
    @classmethod
    def _has_what_listen_needs(cls, tls: Tls | None, info: ValidationInfo) -> Tls | None:
        listen = info.data.get("listen", ())
        if tls is None and any(url.transport == "tls" for url in listen):
            raise refusal("is missing: tls:// in sip.listen needs a certificate and a key")
        return tls

    @field_validator("phones")
    @classmethod
    def _each_can_prove_itself(
        cls, phones: tuple[Phone, ...], info: ValidationInfo
    ) -> tuple[Phone, ...]:
        users = [phone.user for phone in phones]
        if len(set(users)) != len(users):
            raise expected("phones with different users")
        if phones and "digest" in info.data and not digest_of(phones, info.data["digest"]):
            raise refusal("expected one kind of hash, of those in sip.digest, that every phone has")
        return phones

    @property
    def digest_offered(self) -> tuple[str, ...]:
        """The algorithms that every phone can use: strangers must not see which one has which."""
        return digest_of(self.phones, self.digest)
