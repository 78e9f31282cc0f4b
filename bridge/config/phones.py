"""Phones that register, and the certificates that TLS needs: sections below `sip`."""

import re
import ssl
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field, PlainValidator, ValidationInfo, field_validator

from bridge.config import values
from bridge.config.secret import Secret
from bridge.config.section import SecretField, Section, load_context
from bridge.config.values import expected, refusal
from bridge.media.hold_music import (
    FILE_OCTETS_MAX,
    HoldMusic,
    HoldMusicError,
    comfort,
    recorded,
)

_HA1_DIGITS: Final = {"ha1_md5": 32, "ha1_sha256": 64}


def _digest(value: tuple[str, ...]) -> tuple[str, ...]:
    if not value or len(set(value)) != len(value):
        raise expected("a list of sha-256 and md5, each once")
    return value


DigestAlgorithm = Annotated[Literal["sha-256", "md5"], values.one_of("sha-256", "md5")]
DigestAlgorithms = Annotated[tuple[DigestAlgorithm, ...], AfterValidator(_digest)]


class Phone(Section):
    """One phone, or all the devices of one person: who knows its password may register."""

    user: values.Username = Field(description="the name that the phone registers and calls with")
    srtp: (
        Annotated[
            Literal["off", "optional", "required"],
            values.one_of("off", "optional", "required"),
        ]
        | None
    ) = Field(None, description="encrypted audio of this phone; by default as sip.srtp says")
    password: SecretField | None = Field(None, description="{file: PATH} or {env: NAME}")
    ha1_md5: SecretField | None = Field(
        None, description="in place of the password: MD5 of user:realm:password, as a secret"
    )
    # The last one: its check looks at the others.
    ha1_sha256: SecretField | None = Field(
        None, validate_default=True, description="the same with SHA-256; with both, phones choose"
    )

    @field_validator("ha1_md5", "ha1_sha256")
    @classmethod
    def _is_hexadecimal(cls, secret: Secret | None, info: ValidationInfo) -> Secret | None:
        digits = _HA1_DIGITS[str(info.field_name)]
        if secret and not re.fullmatch(f"[0-9A-Fa-f]{{{digits}}}", secret.reveal(), re.ASCII):
            raise expected(f"{digits} hexadecimal digits")
        return secret

    @field_validator("ha1_sha256")
    @classmethod
    def _has_one_kind_of_password(
        cls, secret: Secret | None, info: ValidationInfo
    ) -> Secret | None:
        if not {"password", "ha1_md5"} <= info.data.keys():
            return secret  # what is wrong with those is reported already
        stored = info.data["ha1_md5"] or secret
        if bool(info.data["password"]) == bool(stored):
            raise refusal("expected a password, or else ha1_md5, ha1_sha256 or both")
        return secret

    @property
    def secrets(self) -> tuple[Secret, ...]:
        """What must stay unknown to others."""
        return tuple(filter(None, (self.password, self.ha1_md5, self.ha1_sha256)))


def digest_of(phones: Sequence[Phone], wanted: Sequence[str]) -> tuple[str, ...]:
    """The algorithms of `wanted` that every one of the phones can use."""
    stored = {"md5": "ha1_md5", "sha-256": "ha1_sha256"}
    return tuple(
        algorithm
        for algorithm in wanted
        if all(phone.password or getattr(phone, stored[algorithm]) for phone in phones)
    )


class Registration(Section):
    """Bounds on what phones register."""

    min_expires_s: Annotated[int, values.whole_number(10, 86_400)] = Field(
        60, description="phones that want to renew more often are told to wait so long"
    )
    # Behind `min_expires_s`, which bounds it.
    max_expires_s: Annotated[int, values.whole_number(10, 604_800)] = Field(
        3600,
        validate_default=True,
        description="a contact is forgotten after so long unless its phone renews it",
    )
    contacts: Annotated[int, values.whole_number(1, 32)] = Field(
        5, description="contacts of one phone; with one more, the one renewed longest ago goes"
    )
    keep_alive_s: Annotated[float, values.seconds(10, 3600)] = Field(
        30.0, description="how often each contact is asked by OPTIONS whether it is still there"
    )

    @field_validator("max_expires_s")
    @classmethod
    def _is_no_less_than_the_least(cls, longest: int, info: ValidationInfo) -> int:
        if longest < info.data.get("min_expires_s", 0):
            raise expected("at least min_expires_s")
        return longest


def _readable_file(value: object, info: ValidationInfo) -> Path:
    path = values.path_in(load_context(info).folder, value, "a file")
    try:
        path.open("rb").close()
    except OSError as error:
        raise refusal(f"the file cannot be read: {error.strerror}") from None
    return path


_File = Annotated[Path, PlainValidator(_readable_file)]


def _hold_music(value: object, info: ValidationInfo) -> HoldMusic:
    if value == "comfort":
        return comfort()
    if isinstance(value, Mapping) and value.keys() == {"file"}:
        path = _readable_file(value["file"], info)
        try:
            with path.open("rb") as stream:  # which may have no end
                octets = stream.read(FILE_OCTETS_MAX + 1)
            if len(octets) > FILE_OCTETS_MAX:
                raise expected("a file of 16 MiB at most")
            return recorded(octets)
        except (OSError, HoldMusicError) as error:
            raise refusal(f"the file cannot be played: {error}") from None
    raise expected("comfort, or {file: PATH} of a WAV file in G.711")


HoldMusicField = Annotated[HoldMusic, PlainValidator(_hold_music)]


class Tls(Section):
    """Certificates for tls:// in `sip.listen`; TLS 1.2 is the least that is spoken."""

    certificate: _File = Field(description="PEM file: our certificate, then those of its issuers")
    # Behind `certificate`, which it must belong to.
    key: _File = Field(description="PEM file: the private key of the certificate, no passphrase")
    client_ca: _File | None = Field(
        None, description="PEM file: only phones with a certificate of these issuers may connect"
    )

    @field_validator("key")
    @classmethod
    def _belongs_to_certificate(cls, key: Path, info: ValidationInfo) -> Path:
        if "certificate" in info.data:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            try:
                context.load_cert_chain(info.data["certificate"], key, password="")
            except (OSError, ValueError):
                raise refusal(
                    "expected a key in PEM without a passphrase that belongs to the certificate"
                ) from None
        return key

    @field_validator("client_ca")
    @classmethod
    def _holds_certificates(cls, path: Path | None) -> Path | None:
        if path:
            try:
                ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_verify_locations(path)
            except (OSError, ValueError):
                raise expected("certificates in PEM") from None
        return path
