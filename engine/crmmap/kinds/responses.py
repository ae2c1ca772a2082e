"""Which answers of a source mean something of their own, and what is then done."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated

from crmmap.declare import Kind, Limits, OneOrMany
from crmmap.kinds.actions import ACTIONS, Action
from crmmap.values import Expression, Response

Status = Annotated[int, Limits(100, 999)]


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseRule:
    """What follows from an answer for which all of `status`, `headers` and `body` hold.

    The first rule that fits decides, those of a stream before those of its source; where
    none fits, `retry` does, and any other status than 2xx is an error. A rule without
    `status` looks at every answer, 200 too: for sources that call an error a success.
    """

    status: Annotated[
        tuple[Status, ...], OneOrMany(), "Any of these; without it, every status."
    ] = ()
    headers: Annotated[
        Mapping[str, str],
        "Header → a text that stands in its value, in capitals or not; empty: it is there at all.",
    ] = field(default_factory=dict)
    body: Annotated[
        Expression | None,
        "JMESPath that finds something in the answer: not null, false, or empty. An answer that is "
        "no JSON, or has none of what the expression asks, does not fit.",
    ] = None
    then: Annotated[Action, Kind("action", ACTIONS), "What is done."]

    def __post_init__(self) -> None:
        if not self.status and not self.headers and self.body is None:
            message = "would fit every answer. Say which by `status`, `headers` or `body`"
            raise ValueError(message)

    def fits(self, response: Response, document: Callable[[], object]) -> bool:
        """Say whether the answer is of this kind. `document` decodes its body."""
        if self.status and response.status not in self.status:
            return False
        if not all(_holds(response, name, text) for name, text in self.headers.items()):
            return False
        if self.body is None:
            return True
        try:
            found = self.body.find(document())
        except ValueError:
            return False
        return not (found is None or found is False or found in ("", [], {}))


def _holds(response: Response, name: str, text: str) -> bool:
    value = response.headers.get(name.lower())
    return value is not None and text.lower() in value.lower()
