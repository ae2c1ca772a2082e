"""What of a stream's records an endpoint shows: all, those asked for, or what belongs to them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from crmmap.extract.split import items_of
from crmmap.kinds.bodies import Each, special
from crmmap.mock.places import place_of, put
from crmmap.plan import Enriching, Step
from crmmap.select.strict import read_json
from crmmap.spec.model import RequestSpec, Split
from crmmap.values import Request, as_json

SELECTED = re.compile(r"selected\(\s*['\"](\w+)['\"]\s*\)|^selected\.(\w+)$")


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """`hidden` entries are for other endpoints; of the object `holder`, those asked for are shown.

    With `part`, what is shown is what belongs to each record, by what it is known by.
    """

    hidden: tuple[str, ...] = ()
    split: Split | None = None
    holder: str = ""
    part: Enriching | None = None

    def asked(self, request: Request) -> tuple[str, ...] | None:
        """Return the entries of `holder` that a request asks for; None where it asks for all."""
        if self.split is None or not self.holder:
            return None
        return tuple(map(str, items_of(self.split, request)))

    def said(self, request: Request) -> object:
        """Return what tells this view's answers to a request from others."""
        return self.part.name if self.part is not None else self.asked(request)

    def lines(self, lines: Sequence[str], request: Request) -> list[str]:
        """Return the JSON texts that are shown of records."""
        if self.part is not None:
            return [text for line in lines for text in _belonging(self.part, read_json(line))]
        asked = self.asked(request)
        if asked is None and not self.hidden:
            return list(lines)
        return [as_json(self._shown(read_json(line), asked)) for line in lines]

    def _shown(self, record: object, asked: Sequence[str] | None) -> object:
        if not isinstance(record, dict):
            return record
        shown = {name: each for name, each in record.items() if name not in self.hidden}
        held = shown.get(self.holder)
        if asked is not None and isinstance(held, dict):
            shown[self.holder] = {name: held.get(name) for name in asked}
        return shown


def view_of(step: Step) -> View:
    """Return what the endpoint of a stream's own records shows."""
    split = step.request.split if step.request is not None else None
    holder = "" if split is None or step.request is None else _holder(step.request, split)
    hidden = tuple(each.name for each in step.enriching)
    return View(hidden=hidden, split=split, holder=holder)


def _holder(request: RequestSpec, split: Split) -> str:
    """Return the object whose entries a list in a request names; empty where that is not known."""
    text: object = None
    if split.param is not None:
        text = request.params[split.param].text
    else:
        found = request.body
        for step in (split.body or "").split("."):
            found = found.get(step) if isinstance(found, dict) else None
        made = special(found)
        text = made.of if isinstance(made, Each) else None
    match = SELECTED.search(str(text))
    return (match[1] or match[2]) if match else ""


def _belonging(part: Enriching, record: object) -> Iterator[str]:
    """Yield what belongs to a record."""
    if not isinstance(record, dict):
        return
    found = record.get(part.name)
    for each in found if isinstance(found, list) else [found]:
        if isinstance(each, dict):
            item: object = dict(each)
            for here, there in part.on:
                place = place_of(there)
                if place is not None:
                    item = put(item, place, here.find(record))
            yield as_json(item)
