"""Reads YAML into plain data that remembers its lines.

Owns the syntax: duplicate keys, tags, aliases, size. Must not know what any key means.

Every scalar stays the text that stands in the file, and the models say what it is. So nothing is
guessed: `no` is Norway, `007` is an extension and `10:30` is not 630.
"""

import re
from dataclasses import dataclass, field
from typing import Final

import yaml

from bridge.config.problems import ConfigurationError, KeyPath, Problem, dotted

FILE_OCTETS_MAX: Final = 1_000_000
VALUES_MAX: Final = 50_000
"""Bounds what aliases of aliases can grow to."""

PlainData = None | str | list["PlainData"] | dict[str, "PlainData"]

_NULL: Final = "tag:yaml.org,2002:null"
_PLAIN_TAGS: Final = frozenset(
    f"tag:yaml.org,2002:{name}" for name in ("bool", "float", "int", "map", "null", "seq", "str")
)


class _TextLoader(yaml.SafeLoader):
    """A safe loader for which only an empty value, `~` and `null` are not text."""

    yaml_implicit_resolvers = {  # noqa: RUF012  PyYAML's own class attribute
        first: [(tag, expression) for tag, expression in resolvers if tag == _NULL]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


@dataclass(slots=True)
class YamlSource:
    """A file's data, the line of every key path in it, and what was wrong with it so far."""

    file: str
    data: PlainData = None
    lines: dict[KeyPath, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def line_of(self, path: KeyPath) -> int:
        """The line of a key, or of the nearest key above it that is in the file."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)

    def problem(self, path: KeyPath, message: str) -> Problem:
        """A problem with the place of `path` in this file."""
        return Problem(self.file, self.line_of(path), dotted(path), message)


def read_yaml(text: str, file: str) -> YamlSource:
    """Read one YAML document.

    Problems that leave something to validate (duplicate keys, tags) stand in the result.

    Raises:
        ConfigurationError: It is no YAML, or not one document.
    """
    source = YamlSource(file)
    try:
        node = yaml.compose(text, _TextLoader)
        if node is not None:
            source.data = _Reader(source).value(node, ())
    except yaml.MarkedYAMLError as error:
        raise ConfigurationError([_syntax_problem(error, file)]) from None
    except yaml.YAMLError:
        message = "holds a character that YAML does not allow"
        raise ConfigurationError([Problem(file, 0, "", message)]) from None
    except RecursionError:
        raise ConfigurationError([Problem(file, 0, "", "is nested too deeply")]) from None
    return source


class _Reader:
    """Walks the nodes of one document."""

    def __init__(self, source: YamlSource) -> None:
        self._source = source
        self._open: set[int] = set()
        self._values = 0

    def value(self, node: yaml.Node, path: KeyPath) -> PlainData:
        """Turn a node into plain data, noting lines and problems on the way."""
        line = node.start_mark.line + 1
        self._source.lines.setdefault(path, line)
        self._values += 1
        if id(node) in self._open or self._values > VALUES_MAX:
            message = "an alias makes this endless"
            raise ConfigurationError([Problem(self._source.file, line, dotted(path), message)])
        if node.tag not in _PLAIN_TAGS:
            self._source.problems.append(self._source.problem(path, "tags (!name) are not allowed"))
            return None
        self._open.add(id(node))
        try:
            return self._plain(node, path)
        finally:
            self._open.discard(id(node))

    def _plain(self, node: yaml.Node, path: KeyPath) -> PlainData:
        match node:
            case yaml.MappingNode():
                return self._mapping(node, path)
            case yaml.SequenceNode():
                return [self.value(item, (*path, index)) for index, item in enumerate(node.value)]
            case _:
                return None if node.tag == _NULL else str(node.value)

    def _mapping(self, node: yaml.MappingNode, path: KeyPath) -> PlainData:
        data: dict[str, PlainData] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                self._note(line, path, "a key must be a single word")
                continue
            key = str(key_node.value)
            if key in data:
                first = self._source.lines[(*path, key)]
                self._note(line, (*path, key), f"duplicate key, first given in line {first}")
                continue
            if key == "<<":
                self._note(line, path, "merge keys (<<) are not supported: write the keys out")
                continue
            self._source.lines[(*path, key)] = line
            data[key] = self.value(value_node, (*path, key))
        return data

    def _note(self, line: int, path: KeyPath, message: str) -> None:
        self._source.problems.append(Problem(self._source.file, line, dotted(path), message))


def _syntax_problem(error: yaml.MarkedYAMLError, file: str) -> Problem:
    mark = error.problem_mark or error.context_mark
    # PyYAML quotes the file in some of its texts, and that might be a secret.
    reason = re.sub(r"(['\"]).{2,}\1", "…", error.problem or "unreadable")
    column = f" (column {mark.column + 1})" if mark else ""
    return Problem(file, mark.line + 1 if mark else 0, "", f"no valid YAML: {reason}{column}")
