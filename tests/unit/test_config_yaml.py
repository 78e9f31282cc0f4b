import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.config.problems import ConfigurationError, Problem, dotted
from bridge.config.yaml_source import read_yaml


def messages(text: str) -> list[str]:
    try:
        return [str(problem) for problem in read_yaml(text, "f.yaml").problems]
    except ConfigurationError as error:
        return [str(problem) for problem in error.problems]


def test_every_scalar_stays_the_text_of_the_file() -> None:
    text = "{a: no, b: 007, c: 10:30, d: 1.10, e: true, f: 0x10, g: 2026-08-01, h: 'null', i: <}"
    assert read_yaml(text, "f").data == {
        "a": "no",
        "b": "007",
        "c": "10:30",
        "d": "1.10",
        "e": "true",
        "f": "0x10",
        "g": "2026-08-01",
        "h": "null",
        "i": "<",
    }


def test_only_null_is_not_text() -> None:
    assert read_yaml("a:\nb: ~\nc: null\nd: ''", "f").data == {
        "a": None,
        "b": None,
        "c": None,
        "d": "",
    }
    assert read_yaml("", "f").data is None


def test_lines_of_keys_and_list_items() -> None:
    source = read_yaml("a:\n  b: 1\n  c:\n    - x\n    - {d: 2}\n", "f")
    assert source.line_of(("a", "b")) == 2
    assert source.line_of(("a", "c", 1)) == 5
    assert source.line_of(("a", "c", 1, "d")) == 5
    assert source.line_of(("a", "missing", "deeper")) == 1
    assert source.problem(("a", "c", 1), "no") == Problem("f", 5, "a.c[1]", "no")


def test_duplicate_keys_name_both_lines_and_the_first_counts() -> None:
    source = read_yaml("a:\n  b: 1\n  c: 2\n  b: 3\n", "f")
    assert [str(problem) for problem in source.problems] == [
        "f:4: a.b: duplicate key, first given in line 2"
    ]
    assert source.data == {"a": {"b": "1", "c": "2"}}


def test_quoting_does_not_hide_a_duplicate() -> None:
    assert messages("a: 1\n'a': 2\n") == ["f.yaml:2: a: duplicate key, first given in line 1"]


def test_aliases_work_and_merge_keys_are_refused() -> None:
    assert read_yaml("a: &x {b: 1}\nc: *x\n", "f").data == {"a": {"b": "1"}, "c": {"b": "1"}}
    assert "merge keys" in messages("a: &x {b: 1}\nc:\n  <<: *x\n")[0]


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("a: [1, 2", "f.yaml:1: no valid YAML"),
        ("a: 1\n\tb: 2", "f.yaml:2: no valid YAML"),
        ("a: 1\n---\nb: 2\n", "f.yaml:2: no valid YAML"),
        ("a: *nowhere", "no valid YAML"),
        ("a: \x00", "does not allow"),
        ("a: &x [*x]", "endless"),
        ("? [1, 2]\n: 3", "single word"),
        ("a: !!python/object/apply:os.system ['true']", "tags (!name) are not allowed"),
        ("a: !secret x", "tags (!name) are not allowed"),
    ],
)
def test_what_is_no_plain_yaml_is_said_with_its_place(text: str, part: str) -> None:
    assert part in messages(text)[0]


def test_texts_about_syntax_never_quote_the_file() -> None:
    for text in ("secret: *hunter2", "secret: 'hunter2", "secret: !hunter2 x\n", "'hunter2' x: y"):
        assert "hunter2" not in str(messages(text))


def test_aliases_of_aliases_are_bounded() -> None:
    bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 9)
    )
    assert "endless" in messages(bomb)[0]


@given(st.text(max_size=80))
def test_any_text_gives_data_or_a_configuration_error(text: str) -> None:
    messages(text)


def test_key_paths_read_as_people_write_them() -> None:
    assert dotted(("dialplan", 0, "match")) == "dialplan[0].match"
    assert dotted(()) == ""
    assert str(Problem("f", 0, "", "gone")) == "f: gone"
