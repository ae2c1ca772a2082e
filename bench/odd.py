"""What it costs to look for columns where no record fits any: CPU time against decoding at once.

`python -m bench.odd` prints it, for sources that are odd in one way each.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from crmmap.select.compiled import CompiledSelector, select_pages
from crmmap.select.jmespath import Cell, compile_expression
from crmmap.select.raw_records import raw_records
from crmmap.values import Page

BATCHES, RECORDS = 12, 5_000
FIELDS = ("id", "name", "email", "city", "amount", "owner.id", "owner.name", "tags[0]", "state")
SCALAR = frozenset({"string", "number"})
PLAIN = (
    '"id": "{at}", "name": "Ada Lovelace {at}", "email": "ada{at}@example.com", "city": "London",'
    ' "amount": {at}, "owner": {{"id": "7", "name": "Grace"}}, "tags": ["a", "b"], "state": "open"'
)
ODD: dict[str, Callable[[int], str]] = {
    "none, and all fit": lambda _: "",
    "two kinds in turn, unread": lambda at: f', "zz": {at if at % 2 else "true"}',
    "two kinds in turn, read": lambda at: f', "state": {at if at % 2 else "true"}',
    "two kinds in one list": lambda at: f', "zz": [{at}, "x"]',
    "names that are data": lambda at: f', "by": {{"k{at}": 1, "l{at}": 2, "m{at}": 3}}',
    "a key twice": lambda at: f', "zz": {{"a": {at}, "a": 2}}',
    "a NUL in a text": lambda _: ', "zz": "\\u0000"',
}  # fmt: skip


def costs(batches: int = BATCHES, records: int = RECORDS) -> None:
    """Print for each source what is lost, in one batch alone and in many of them."""
    cells = tuple(
        Cell(field=f"f{at}", expressions=(compile_expression(each),), accepts=SCALAR)
        for at, each in enumerate(FIELDS)
    )
    compiled = CompiledSelector(cells=cells)
    decoded = replace(compiled, worth=records + 1)
    for words, odd in ODD.items():
        raws = [f"{{{PLAIN.format(at=at)}{odd(at)}}}".encode() for at in range(records)]
        page = Page(number=1, records=raw_records(raws))
        lost = [
            min(_seconds(compiled, page, times) for _ in range(3))
            / min(_seconds(decoded, page, times) for _ in range(3))
            for times in (1, batches)
        ]
        print(f"{words:28}{lost[0] - 1:>+8.1%}{lost[1] - 1:>+8.1%}", flush=True)


def _seconds(selector: CompiledSelector, page: Page, times: int) -> float:
    selector = CompiledSelector(cells=selector.cells, worth=selector.worth)
    begin = time.process_time()
    for _ in range(times):
        select_pages(selector, [page])
    return time.process_time() - begin


if __name__ == "__main__":
    costs()
