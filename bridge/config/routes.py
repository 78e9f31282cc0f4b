"""The dial plan's entries: where the numbers that phones and links dial go.

Checks that look at two keys are field validators of the later one; so the order of the fields
matters where a comment says so.
"""

import re
import warnings
from typing import Annotated, Final

from pydantic import Field, PlainValidator, ValidationInfo, field_validator

from bridge.config import values
from bridge.config.accepting import PhoneUri, PhoneUriField
from bridge.config.section import Section, load_context
from bridge.config.values import expected, refusal
from bridge.dialing.plan import DTMF_DIGITS, DialTemplate, DialTemplateError

EXPRESSION_CHARACTERS_MAX: Final = 256


def _expression(value: object) -> re.Pattern[str]:
    if not isinstance(value, str) or not 0 < len(value) <= EXPRESSION_CHARACTERS_MAX:
        raise expected(
            f"a regular expression of at most {EXPRESSION_CHARACTERS_MAX} characters in single "
            r"quotes, like '^9(\d+)$'"
        )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            return re.compile(value, re.ASCII)
        except (re.error, OverflowError, RecursionError, Warning) as error:
            reason = error.msg if isinstance(error, re.error) else "it says something else"
            raise refusal(f"no regular expression of Python: {reason}") from None


def _links(value: object, info: ValidationInfo) -> tuple[str, ...]:
    if not isinstance(value, list):
        return () if value == () else (_check_link(value, info),)
    links = tuple(_check_link(link, info, index) for index, link in enumerate(value))
    if not links or len(set(links)) != len(links):
        raise expected("the names of links, each once, like [hq, backup]")
    return links


def _check_link(value: object, info: ValidationInfo, *below: int) -> str:
    return _check_name(value, "link", load_context(info).link_names, *below)


def _check_name(value: object, what: str, names: frozenset[str], *below: int) -> str:
    if isinstance(value, str) and value in names:
        return value
    known = ", ".join(sorted(names)) or "none is configured"
    raise refusal(f"expected the name of a {what} ({known})", *below)


def _trunk(value: object, info: ValidationInfo) -> str:
    return _check_name(value, "trunk", load_context(info).trunk_names)


class RouteEntry(Section):
    """One line of the dial plan; the first whose expression matches the whole number is taken."""

    match: Annotated[re.Pattern[str], PlainValidator(_expression)] = Field(
        description="a regular expression for the whole called number, like '^9(\\d+)$'"
    )
    from_link: str | None = Field(
        None, alias="from", description="the link that such calls come in on; none: a phone's calls"
    )
    # After `match`, whose groups it names.
    to: PhoneUriField | None = Field(
        None,
        description="the phone that a call from a link rings: sip:USER@ADDRESS:PORT or phone:USER",
    )
    # After `to`, which stands in its place.
    trunk: Annotated[str, PlainValidator(_trunk)] | None = Field(
        None, description="the trunk that a call from a link goes to, in clear"
    )
    # After `to` and `trunk`, which stand in its place.
    link: Annotated[tuple[str, ...], PlainValidator(_links)] = Field(
        (),
        validate_default=True,
        description="the link that such calls take, or several in order: [hq, backup]",
    )
    allow_less_hidden: values.Flag = Field(
        default=False, description="let links behind the first hide less than it does"
    )
    # After `match`, whose groups it names.
    dial: Annotated[str, values.text_like(r".{0,64}", "a template like '{1}'")] = Field(
        "{0}",
        description="the digits to send, or the number for a trunk: text and groups of match, {0} "
        "is the whole number",
    )

    @field_validator("from_link")
    @classmethod
    def _link_exists(cls, link: str | None, info: ValidationInfo) -> str | None:
        if link is not None:
            _check_link(link, info)
        return link

    @field_validator("to")
    @classmethod
    def _to_fits_match(cls, to: PhoneUri, info: ValidationInfo) -> PhoneUri:
        if "from_link" in info.data and info.data["from_link"] is None:
            raise refusal("is for calls from a link: name it with `from`")
        _template(to.user, info)
        return to

    @field_validator("trunk")
    @classmethod
    def _trunk_is_for_a_link(cls, trunk: str, info: ValidationInfo) -> str:
        if "from_link" in info.data and info.data["from_link"] is None:
            raise refusal("is for calls from a link: name it with `from`")
        if info.data.get("to") is not None:
            raise refusal("a call goes to a phone or to a trunk: leave out `to` or `trunk`")
        return trunk

    @field_validator("link")
    @classmethod
    def _goes_to_one_place(cls, links: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if not {"to", "trunk", "from_link"} <= info.data.keys():
            return links  # whose own errors are told
        if info.data["from_link"] is None and not links:
            raise refusal("is missing: the link that such calls take")
        place = info.data["to"] or info.data["trunk"]
        if info.data["from_link"] is not None and (links or place is None):
            raise refusal(
                "a call from a link goes to a phone or a trunk: say which with `to` or `trunk`, "
                "without `link`"
            )
        return links

    @field_validator("dial")
    @classmethod
    def _dial_fits_match(cls, dial: str, info: ValidationInfo) -> str:
        if info.data.get("to") is not None:
            raise refusal("no digits are sent to a phone: write them into `to`")
        template = _template(dial, info)
        digits = template.literal_digits.upper() if template else ""
        if info.data.get("trunk") is not None:
            digits = digits.removeprefix("+")
        if not DTMF_DIGITS.issuperset(digits):
            raise expected("DTMF digits (0-9 * # A-D) and groups like {1}")
        return dial

    @property
    def template(self) -> DialTemplate:
        """The digits to send, or the user part of the phone's URI, ready to be filled in."""
        return DialTemplate.parse(self.to.user if self.to else self.dial, self.match)


def _template(text: str, info: ValidationInfo) -> DialTemplate | None:
    """Read a template of an entry whose expression could be read."""
    expression = info.data.get("match")
    if not isinstance(expression, re.Pattern):
        return None
    try:
        return DialTemplate.parse(text, expression)
    except DialTemplateError as error:
        raise refusal(str(error)) from None
