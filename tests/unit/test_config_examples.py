"""The shipped examples load as they stand, and the reference names every key with its default."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from pydantic import BaseModel

from bridge.config import Configuration, Loaded, load_configuration
from bridge.config.loader import _model_in, holds_many
from bridge.config.secret import new_secret, write_new_secret
from bridge.config.section import keys_of as section_keys
from bridge.dialing.plan import DialPlan, Route

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = sorted(path.name for path in (ROOT / "configs").glob("*.yaml"))
REFERENCE = ROOT / "docs" / "configuration.md"


def load_example(folder: Path, name: str) -> Loaded:
    """Load an example with new secrets beside it, as somebody who tries it out would."""
    shutil.copy(ROOT / "configs" / name, folder)
    text = (folder / name).read_text()
    for file in set(re.findall(r"\{file: ([^}]+)\}", text)):
        (folder / file).parent.mkdir(exist_ok=True)
        write_new_secret(folder / file)
    environment = {variable: new_secret() for variable in re.findall(r"\{env: (\w+)\}", text)}
    return load_configuration(folder / name, environment)


def plan_of(configuration: Configuration) -> DialPlan:
    routes = [
        Route(entry.match, entry.link[0], entry.template)
        for entry in configuration.dialplan
        if entry.link
    ]
    limits = {name: link.limits for name, link in configuration.links.items()}
    return DialPlan(routes, limits)


def test_there_are_examples() -> None:
    assert EXAMPLES == [
        "asterisk-link.yaml",
        "minimal.yaml",
        "two-site-north.yaml",
        "two-site.yaml",
    ]


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_loads_without_a_warning(tmp_path: Path, name: str) -> None:
    assert load_example(tmp_path, name).warnings == ()


@pytest.mark.parametrize("name", ["asterisk-link.yaml", "minimal.yaml"])
def test_nine_and_a_number_goes_to_headquarters(tmp_path: Path, name: str) -> None:
    destination = plan_of(load_example(tmp_path, name).configuration).resolve("9-555-1234")
    assert destination is not None
    assert (destination.link, destination.digits) == ("hq", "5551234")


@pytest.mark.parametrize(
    ("called", "link", "digits"),
    [
        ("201", "north", "201"),
        ("305", "south", "305"),
        ("85551234", "north", "05551234"),
        ("95551234", "south", "05551234"),
        ("+49 (89) 123-456", "south", "0123456"),
    ],
)
def test_two_sites_share_the_numbers(tmp_path: Path, called: str, link: str, digits: str) -> None:
    plan = plan_of(load_example(tmp_path, "two-site.yaml").configuration)
    destination = plan.resolve(called)
    assert destination is not None
    assert (destination.link, destination.digits) == (link, digits)


def test_the_two_site_examples_are_both_ends_of_one_link(tmp_path: Path) -> None:
    here = load_example(tmp_path, "two-site.yaml").configuration
    there = load_example(tmp_path, "two-site-north.yaml").configuration
    near, far = here.links["north"], there.links["branch-7"]
    for caller, taker in ((near, far), (far, near)):
        assert taker.accept is not None
        assert caller.username == taker.accept.username
        assert caller.extension == taker.extension
        assert caller.codecs == taker.codecs
        assert caller.dialing == taker.dialing
        assert caller.answer == "far-end"
    destination = plan_of(there).resolve("142")
    assert destination is not None
    assert destination.link == "branch-7"


def test_the_asterisk_example_is_the_other_half_of_the_shipped_asterisk(tmp_path: Path) -> None:
    link = load_example(tmp_path, "asterisk-link.yaml").configuration.links["hq"]
    iax_conf = (ROOT / "configs" / "asterisk" / "iax.conf").read_text()
    extensions = (ROOT / "configs" / "asterisk" / "extensions.conf").read_text()
    assert f"[{link.username}]" in iax_conf
    assert f"[{link.extension}]\nexten => {link.extension},1,Answer()" in extensions
    assert all(f"allow={codec}" in iax_conf for codec in link.codecs)


def keys_of(model: type[BaseModel], place: str = "") -> Iterator[str]:
    """One table row for each key, as it must stand in the reference."""
    for name, field in section_keys(model).items():
        key = f"{place}{name}"
        inner = _model_in(field.annotation)
        if inner is None:
            default = "required" if field.is_required() else f"`{shown(field.default)}`"
            yield f"| `{key}` | {default} | {field.description} |"
        elif not holds_many(field.annotation):
            yield from keys_of(inner, f"{key}.")
        else:
            yield from keys_of(
                inner, f"{key}[]." if "tuple" in str(field.annotation) else f"{key}.NAME."
            )


def shown(value: Any) -> str:  # noqa: ANN401  any default
    match value:
        case None:
            return "none"
        case bool():
            return str(value).lower()
        case float():
            return f"{value:g}"
        case tuple():
            return f"[{', '.join(map(shown, value))}]"
        case _:
            return str(value)


def test_the_reference_names_every_key_with_its_default() -> None:
    text = REFERENCE.read_text()
    missing = [row for row in keys_of(Configuration) if row not in text.splitlines()]
    assert not missing, "docs/configuration.md lacks:\n" + "\n".join(missing)


def test_the_example_of_the_reference_loads(tmp_path: Path) -> None:
    text = REFERENCE.read_text().partition("```yaml\n")[2].partition("```")[0]
    path = tmp_path / "siax.yaml"
    path.write_text(text)
    (tmp_path / "secrets").mkdir()
    write_new_secret(tmp_path / "secrets" / "hq")
    loaded = load_configuration(path)
    assert loaded.warnings == ()
    assert isinstance(loaded.configuration.links, MappingProxyType)
