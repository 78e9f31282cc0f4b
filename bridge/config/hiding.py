"""What one link hides and another does not, for routes that have several."""

from collections.abc import Iterator, Mapping, Sequence
from math import inf
from typing import TYPE_CHECKING

from bridge.config.routes import RouteEntry
from bridge.config.values import refusal

if TYPE_CHECKING:
    from bridge.config.models import Link


def hide_as_much(dialplan: Sequence[RouteEntry], links: Mapping[str, "Link"]) -> None:
    """Refuse links that hide less than the first of their entry, unless the entry allows it."""
    for index, route in enumerate(dialplan):
        known = [links[name] for name in route.link if name in links]
        for place, link in enumerate(known[1:], 1):
            less = ", ".join(_less_hidden(link, known[0]))
            if less and not route.allow_less_hidden:
                raise refusal(
                    f"hides less than link {route.link[0]}: {less}. Let both hide the same, or "
                    "set allow_less_hidden: true on this entry",
                    index,
                    "link",
                    place,
                )


def _less_hidden(link: "Link", first: "Link") -> Iterator[str]:
    """Say what a link tells its far end, or whoever watches, that another one does not."""
    if link.caller_id.send and not first.caller_id.send:
        yield "it sends the caller"
    if link.in_call_digits and not first.in_call_digits:
        yield "it sends keys pressed in the call"
    if first.tail and not link.tail:
        yield "its calls have no tail"
    if link.secret.strength.weakness and not first.secret.strength.weakness:
        yield "its secret can be guessed"
    if first.rekey_s is not None and (link.rekey_s or inf) > first.rekey_s:
        yield "its key changes less often"
    if _is_fixed(link) and not _is_fixed(first):
        yield "its dialing begins after a fixed delay"


def _is_fixed(link: "Link") -> bool:
    shortest_ms, longest_ms = link.dialing.start_ms
    return shortest_ms == longest_ms
