"""From a file to a frozen configuration and its warnings, or to all its errors at once.

Owns the order of the steps and the words around pydantic's errors. The checks themselves are in
`models` (errors) and `cautions` (warnings).
"""

import difflib
import os
import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from bridge.config.cautions import cautions
from bridge.config.models import Configuration, StatePlace
from bridge.config.problems import ConfigurationError, KeyPath, Problem, dotted
from bridge.config.section import LoadContext, keys_of
from bridge.config.values import is_true
from bridge.config.yaml_source import FILE_OCTETS_MAX, YamlSource, read_yaml

_Model = TypeVar("_Model", bound=BaseModel)
_EXPECTED: Final = {
    "model_type": "keys and values below it",
    "mapping_type": "names and, below each, its keys",
    "dict_type": "names and, below each, its keys",
    "tuple_type": "a list: [a, b], or lines that begin with '-'",
    "string_type": "text",
}


@dataclass(frozen=True, slots=True)
class Loaded:
    """A configuration that can be used, where it came from, and what is doubtful about it."""

    configuration: Configuration
    warnings: tuple[Problem, ...]
    path: Path


def load_configuration(path: Path | str, environment: Mapping[str, str] | None = None) -> Loaded:
    """Read, check and freeze a configuration file, its secrets included. Blocks on file reads.

    Args:
        path: The YAML file; relative paths in it are relative to its folder.
        environment: For `{env: NAME}`; by default that of the process.

    Raises:
        ConfigurationError: with every error that was found, each with line and key path.
    """
    path = Path(path)
    source = read_yaml(_read_text(path), str(path))
    context = LoadContext(
        folder=path.parent,
        environment=os.environ if environment is None else environment,
        allow_inline_secrets=is_true(_at(source.data, "allow_inline_secrets")),
        link_names=frozenset(_keys(_at(source.data, "links"))),
        trunk_names=frozenset(_keys(_at(source.data, "trunks"))),
    )
    configuration = _validated(Configuration, source, context)
    warnings = [source.problem(key, text) for key, text in cautions(configuration)]
    return Loaded(configuration, tuple(sorted(warnings)), path)


def load_state_folder(path: Path, environment: Mapping[str, str] | None = None) -> Path:
    """Read where a service of this file keeps its state; needs none of its secrets.

    Raises:
        ConfigurationError: the file cannot be read, or the key is wrong.
    """
    source = read_yaml(_read_text(path), str(path))
    environment = os.environ if environment is None else environment
    context = LoadContext(folder=path.parent, environment=environment)
    return _validated(StatePlace, source, context).state_dir


def _read_text(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            octets = stream.read(FILE_OCTETS_MAX + 1)
    except OSError as error:
        message = f"cannot be read: {error.strerror}"
        raise ConfigurationError([Problem(str(path), 0, "", message)]) from None
    if len(octets) > FILE_OCTETS_MAX:
        message = f"is larger than {FILE_OCTETS_MAX} octets"
        raise ConfigurationError([Problem(str(path), 0, "", message)])
    try:
        return octets.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = octets[: error.start].count(b"\n") + 1
        raise ConfigurationError([Problem(str(path), line, "", "expected UTF-8")]) from None


def _at(data: object, key: str) -> object:
    return data.get(key) if isinstance(data, dict) else None


def _keys(data: object) -> Iterator[str]:
    return (str(key) for key in data) if isinstance(data, dict) else iter(())


def _validated(model: type[_Model], source: YamlSource, context: LoadContext) -> _Model:
    # An empty file misses its links; it is not the wrong type of thing.
    data = {} if source.data is None else source.data
    problems = list(source.problems)
    try:
        validated = model.model_validate(data, context=context)
    except ValidationError as error:
        problems += [_problem(source, details) for details in error.errors(include_input=False)]
    if problems:
        raise ConfigurationError(problems)
    return validated


def _problem(source: YamlSource, details: ErrorDetails) -> Problem:
    path: KeyPath = tuple(part for part in details["loc"] if part != "[key]")
    kind, detail = details["type"], details.get("ctx", {})
    match kind:
        case "refused":
            return source.problem((*path, *detail["below"]), str(detail["message"]))
        case "missing":
            return source.problem(path, f"is missing: {_description(path)}")
        case "extra_forbidden":
            return source.problem(path, _unknown_key(path))
        case _:
            return source.problem(path, f"expected {_EXPECTED.get(kind, details['msg'])}")


def _description(path: KeyPath) -> str:
    return keys_of(_section(path[:-1]))[str(path[-1])].description or ""


def _unknown_key(path: KeyPath) -> str:
    section, key = _section(path[:-1]), str(path[-1])
    known = list(keys_of(section))
    elsewhere = [place for place, other in _all_sections(()) if key in keys_of(other)]
    if elsewhere:
        return f"unknown key here; it belongs {_below(elsewhere[0])}"
    if near := difflib.get_close_matches(key, known, n=1):
        return f"unknown key; did you mean '{near[0]}'?"
    return f"unknown key; expected one of {', '.join(sorted(known))}"


def _below(place: KeyPath) -> str:
    return f"below {dotted(place)}" if place else "at the top of the file"


def _section(path: KeyPath) -> type[BaseModel]:
    """The model whose keys stand at this place."""
    model: type[BaseModel] = Configuration
    parts = iter(path)
    for part in parts:
        field = keys_of(model).get(str(part))
        if field and (inner := _model_in(field.annotation)):
            model = inner
            if holds_many(field.annotation):
                next(parts, None)  # the name of a link, which may be a key's, or an item's number
    return model


def _model_in(annotation: Any) -> type[BaseModel] | None:  # noqa: ANN401  any type there is
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    found = (_model_in(part) for part in typing.get_args(annotation))
    return next(filter(None, found), None)


def _all_sections(
    place: KeyPath, model: type[BaseModel] = Configuration
) -> Iterator[tuple[KeyPath, type[BaseModel]]]:
    yield place, model
    for name, field in keys_of(model).items():
        if inner := _model_in(field.annotation):
            is_one = not holds_many(field.annotation)
            yield from _all_sections((*place, name) if is_one else (*place, name, "NAME"), inner)


def holds_many(annotation: Any) -> bool:  # noqa: ANN401  any type there is
    """Whether a key holds several of its sections: a list of them, or one by each name."""
    return typing.get_origin(annotation) not in (None, types.UnionType)
