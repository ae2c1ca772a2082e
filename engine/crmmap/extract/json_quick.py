"""JSON answers taken apart without decoding their records: what is plainly fine, and no other.

The records of an answer stay bytes; what else is asked of the answer is decoded. Wherever anything
is out of the ordinary the answer is left to `decode_json`, which judges it, and has the words.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any

from crmmap.extract.crowded import JSON, refuse_crowded
from crmmap.extract.pages import NOT_AN_OBJECT
from crmmap.extract.text_lines import BOM
from crmmap.kinds.formats import Json, Ndjson
from crmmap.plan import Step
from crmmap.select.closures import Tree
from crmmap.select.compiled import CompiledSelector
from crmmap.select.document import Document, Found
from crmmap.select.jmespath import ANY, Jmespath, Leaf, leaves, names_of
from crmmap.select.raw_records import raw_records
from crmmap.select.sight import is_plain
from crmmap.select.strict import read_json
from crmmap.values import Refusal, Response, as_json

if TYPE_CHECKING:
    import msgspec

DEPTH = 400
"""Levels of nesting that every reader of JSON takes, from wherever it is called."""

TEXT = re.compile(rb'"(?:[^"\\]|\\.)*+"')
OBJECT, LIST = b"{["
OTHERS = bytes(each for each in range(256) if each not in b"[]{}")

Names = tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """Where an answer has its records, and what else is asked of it.

    `names` lead to the list of records. `beside` has, for each level on the way, the entries
    there that are read.
    """

    names: Names
    beside: tuple[Names, ...]
    decoder: msgspec.json.Decoder[Any] = field(compare=False, repr=False)

    def decode(self, response: Response) -> Document | None:
        """Return the answer with its records as bytes; None where it has to be decoded whole.

        The document is the answer without its records, and with what is asked of it alone.
        Raises BadBody where it has more values than can be held.
        """
        body = response.body.removeprefix(BOM)
        refuse_crowded(response, JSON)
        try:
            body.isascii() or body.decode()
            answer = self.decoder.decode(body)
            document, raws = self._apart(answer)
        except (ValueError, RecursionError):  # msgspec's own errors among them
            return None
        found = placed(raws, range(len(raws)))
        return None if found is None else Document(document, found=found)

    def _apart(self, answer: Any, level: int = 0) -> tuple[object, list[msgspec.Raw]]:
        if level == len(self.names):
            return [], answer
        inner, raws = self._apart(answer.at0, level + 1)
        document = {self.names[level]: inner}
        for at, name in enumerate(self.beside[level], start=1):
            raw = getattr(answer, f"at{at}")
            if raw is not None:
                document[name] = read_json(bytes(raw).decode())
        return document, raws


def placed(
    raws: Sequence[bytes], places: Sequence[int], others: Iterable[Refusal] = ()
) -> Found | None:
    """Return records with their places; None where there are lists among them, or depths.

    `others` are refused beside those that are no records.
    """
    if any(_deep(bytes(raw)) for raw in raws if len(raw) > 2 * DEPTH):
        return None
    heads = bytes(memoryview(raw)[0] for raw in raws)
    if LIST in heads:
        return None
    refused = [*others]
    if heads.count(OBJECT) < len(heads):
        refused += [
            Refusal(at=at, raw=as_json(read_json(bytes(raw).decode())), reasons=(NOT_AN_OBJECT,))
            for raw, at, head in zip(raws, places, heads, strict=True)
            if head != OBJECT
        ]
        kept = [row for row, head in enumerate(heads) if head == OBJECT]
        raws, places = [raws[row] for row in kept], [places[row] for row in kept]
    refused.sort(key=lambda each: each.at)
    return Found(records=raw_records(raws), lines=places, refused=tuple(refused))


def _deep(record: bytes) -> bool:
    if record.count(b"[") + record.count(b"{") <= DEPTH:
        return False
    left = TEXT.sub(b"", record).translate(None, OTHERS)
    for _ in range(DEPTH):
        fewer = left.replace(b"{}", b"").replace(b"[]", b"")
        if len(fewer) == len(left):
            break
        left = fewer
    return bool(left)


# --- where it may be done ---------------------------------------------------------------------


def way_of(step: Step) -> Way | None:
    """Return how a stream's answers are taken apart; None where they must be decoded whole."""
    found = None if obstacle(step) else _found(step)
    return None if found is None else Way(names=found[0], beside=found[1], decoder=_decoder(*found))


FORCED = "CRMMAP_EXACT asks for it"
"""Why nothing is compiled, where nothing is."""


def obstacle(step: Step) -> str | None:
    """Return why a stream's records must all be decoded to values; None where they need not."""
    if not isinstance(step.format or Json(), Json | Ndjson):
        return "the answers are no JSON"
    if not isinstance(step.selector, CompiledSelector):
        return FORCED
    put = {
        "shape": step.shape, "nested": step.nested, "enrich": step.enriching,
        "recurse": step.parts.recursion,
    }  # fmt: skip
    for word, there in put.items():
        if there:
            return f"the stream has `{word}`"
    return None if _found(step) else "the answer is looked at where its records are"


def _found(step: Step) -> tuple[Names, tuple[Names, ...]] | None:
    """Return the way to a stream's records, and by levels what else of its answers is read."""
    names = _list_of(step.records.tree) if isinstance(step.records, Jmespath) else None
    if names is None or (names and isinstance(step.format, Ndjson)):
        return None
    beside: list[set[str]] = [set() for _ in names]
    answers = getattr(step.source, "responses", ())
    asked = _expressions((step.pagination, step.incremental, step.responses, answers))
    for leaf in (leaf for each in asked for leaf in leaves(each)):
        level = _parting(names, leaf)
        if level is None:
            return None
        beside[level].add(str(leaf[level]))
    if not all(map(is_plain, (*names, *chain(*beside)))):
        return None
    return names, tuple(tuple(sorted(each)) for each in beside)


def _parting(names: Names, leaf: Leaf) -> int | None:
    """Return the level where a place in an answer parts from the way; None if it may not."""
    for level, (name, step) in enumerate(zip(names, leaf, strict=False)):
        if step != name:
            return level if isinstance(step, str) and step != ANY else None
    return None


def _list_of(tree: Tree) -> Names | None:
    """Return the way to a list of records: of `results`, `results[]` or `a.b[*]`, say."""
    if tree["type"] == "projection":
        left, right = tree["children"]
        if right["type"] != "identity":
            return None
        return _list_of(left["children"][0] if left["type"] == "flatten" else left)
    if tree["type"] in ("identity", "current"):
        return ()
    return names_of(tree)


def _expressions(value: object) -> Iterator[Jmespath]:
    """Yield all expressions in a value that is made of dataclasses."""
    if isinstance(value, Jmespath):
        yield value
    elif isinstance(value, Mapping):
        yield from _expressions(tuple(value.values()))
    elif isinstance(value, tuple | list | frozenset):
        for each in value:
            yield from _expressions(each)
    elif is_dataclass(value) and not isinstance(value, type):
        yield from _expressions(tuple(getattr(value, each.name) for each in fields(value)))


def _decoder(names: Names, beside: Sequence[Names]) -> msgspec.json.Decoder[Any]:
    """Return what finds the records, and the entries beside them, and passes over all others."""
    import msgspec

    made: Any = list[msgspec.Raw]
    for name, others in zip(reversed(names), reversed(beside), strict=True):
        entries: list[tuple[str, Any, Any]] = [
            (f"at{at}", msgspec.Raw, None) for at in range(1, len(others) + 1)
        ]
        named = {f"at{at}": each for at, each in enumerate((name, *others))}
        made = msgspec.defstruct("Answer", [("at0", made), *entries], rename=named)
    return msgspec.json.Decoder(made)
