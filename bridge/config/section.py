"""What every section of the file is made of: the base model, what checks may know, and secrets."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, PlainValidator, ValidationInfo, model_validator
from pydantic.fields import FieldInfo

from bridge.config.secret import (
    Secret,
    SecretError,
    checked,
    secret_from_environment,
    secret_from_file,
)
from bridge.config.values import path_in, refusal


@dataclass(frozen=True, slots=True)
class LoadContext:
    """What checks need to know beside the value: pass it as pydantic's validation context."""

    folder: Path = Path()
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    allow_inline_secrets: bool = False
    link_names: frozenset[str] = frozenset()
    trunk_names: frozenset[str] = frozenset()


def load_context(info: ValidationInfo) -> LoadContext:
    """What was passed as pydantic's validation context, or an empty one."""
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
        known = keys_of(cls)
        return {key: value for key, value in data.items() if value is not None or key not in known}


def keys_of(model: type[BaseModel]) -> Mapping[str, FieldInfo]:
    """The fields of a section by their keys in the file, which Python may have no names for."""
    return {field.alias or name: field for name, field in model.model_fields.items()}


def _secret(value: object, info: ValidationInfo) -> Secret:
    try:
        return _read_secret(value, load_context(info))
    except SecretError as error:
        raise refusal(str(error), error.key) from None


def _read_secret(value: object, context: LoadContext) -> Secret:
    match value:
        case {"file": str(name), **others} if name and not others:
            return secret_from_file(path_in(context.folder, name, "a file", "file"), name)
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


SecretField = Annotated[Secret, PlainValidator(_secret)]
