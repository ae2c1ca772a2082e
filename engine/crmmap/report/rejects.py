"""Rejects, for people and for programs."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime

from crmmap.events import Rehearsal
from crmmap.load.reject_queries import Reject
from crmmap.report.parts import Grid, Heading, Line, Part
from crmmap.report.wording import number, plural
from crmmap.values import Reason

Document = dict[str, object]
SHORT = 10
"""Characters of an id that are shown; they tell it from the others of a store, as a rule."""
LONGEST_KEY = 40
PIECE = re.compile(r'"(?:[^"\\]|\\.)*"?|[{}\[\],:]|[^\s{}\[\],:"]+')
OPENING, CLOSING = ("{", "["), ("}", "]")
STATES = {"open": "open ", "resolved": "resolved ", "all": ""}

Heads = Mapping[str, Callable[[Reject, Reason], str]]
BY: Mapping[str, Heads] = {
    "rule": {
        "stream": lambda reject, _: reject.stream,
        "field": lambda _, reason: reason.field or "",
        "rule": lambda _, reason: reason.rule,
    },
    "field": {
        "stream": lambda reject, _: reject.stream,
        "field": lambda _, reason: reason.field or "",
    },
    "stream": {"stream": lambda reject, _: reject.stream},
    "run": {"run": lambda reject, _: reject.run_id, "stream": lambda reject, _: reject.stream},
}
"""What rejects are counted by: `--by rule` has a row for each stream, field and rule."""

Counted = Counter[tuple[str, ...]]


def count_by(by: str, every: Iterable[Reject], *, several: bool) -> Counted:
    """Return how many rejects there are of each kind; `several` mappings stand apart."""
    heads = BY[by].values()
    found: Counted = Counter()
    for reject in every:
        mapping = (reject.mapping,) if several else ()
        found.update(
            {(*mapping, *(head(reject, each) for head in heads)) for each in reject.reasons}
        )
    return found


def _titles(by: str, *, several: bool) -> tuple[str, ...]:
    return (*(("mapping",) if several else ()), *BY[by])


def counts_parts(
    counted: Counted, by: str, total: int, state: str, *, several: bool
) -> Iterator[Part]:
    """Yield the counts as a table, the most frequent first, and how many rejects there are."""
    headings = (*map(Heading, _titles(by, several=several)), Heading("rejects", right=True))
    rows = tuple((*kind, number(count)) for kind, count in counted.most_common())
    if rows:
        yield Grid(headings=headings, rows=rows)
        yield Line()
    yield _total(total, state)


def _total(total: int, state: str, more: str = "") -> Line:
    return Line(plural(total, f"{STATES[state]}reject") + more, "title" if total else "quiet")


def counts_document(counted: Counted, by: str, *, several: bool) -> list[Document]:
    """Return the counts as JSON values, the most frequent first."""
    titles = _titles(by, several=several)
    return [
        {**dict(zip(titles, kind, strict=True)), "rejects": count}
        for kind, count in counted.most_common()
    ]


# --- a list ---------------------------------------------------------------------------------------


def list_parts(every: Sequence[Reject], total: int, state: str, *, several: bool) -> Iterator[Part]:
    """Yield rejects, and how many more there are: a row per reason, or whole with their records."""
    outcome = () if state == "open" else ("state",)
    headings = ("id", "refused (UTC)", *outcome, "stream", "key", "reason", "message")
    if every and every[0].raw is not None:
        yield from whole_parts(every)
        yield Line()
    elif every:
        rows = [row for each in every for row in _rows(each, state, several=several)]
        yield Grid(headings=tuple(map(Heading, headings)), rows=tuple(rows))
        yield Line()
    hidden = f", of which the newest {number(len(every))} are shown (see --limit)"
    yield _total(total, state, hidden if total > len(every) else "")


def _rows(reject: Reject, state: str, *, several: bool) -> Iterator[tuple[str, ...]]:
    stream = f"{reject.mapping}.{reject.stream}" if several else reject.stream
    outcome = () if state == "open" else (reject.outcome or "open",)
    head = (reject.id[:SHORT] or "-", _minute(reject.created_at), *outcome, stream, _key(reject))
    for place, reason in enumerate(reject.reasons):
        yield (*(head if place == 0 else [""] * len(head)), worded(reason), reason.message)


def worded(reason: Reason) -> str:
    """Return `field: rule`, or the rule alone where the whole record is meant."""
    return f"{reason.field}: {reason.rule}" if reason.field else reason.rule


def _key(reject: Reject) -> str:
    key = "-" if reject.key is None else reject.key
    return key if len(key) <= LONGEST_KEY else f"{key[: LONGEST_KEY - 1]}…"


def _minute(when: datetime) -> str:
    return f"{when.astimezone(UTC):%Y-%m-%d %H:%M}"


def _second(when: datetime) -> str:
    return f"{when.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


# --- one, whole -----------------------------------------------------------------------------------


def whole_parts(every: Iterable[Reject]) -> Iterator[Part]:
    """Yield rejects with all that is known of them."""
    for place, each in enumerate(every):
        yield from [Line()] if place else []
        yield from _whole(each)


def _whole(reject: Reject) -> Iterator[Part]:
    state = reject.outcome or "open"
    yield Line(f"{reject.id}: {reject.mapping}.{reject.stream}, {state}", "title")
    yield from (Line(f"  {worded(each)}: {each.message}", "warning") for each in reject.reasons)
    yield Line(f"  refused {_second(reject.created_at)} by run {reject.run_id}{_where(reject)}")
    if reject.key is not None:
        yield Line(f"  key {reject.key}")
    if reject.retried_by is not None:
        yield Line(f"  tried again by run {reject.retried_by}")
    if reject.resolved_at is not None:
        yield Line(f"  {state} {_second(reject.resolved_at)} by {reject.resolved_by}")
    yield Line(set_out(reject.raw or ""))


def _where(reject: Reject) -> str:
    batch = f", batch {number(reject.batch_seq)}"
    page = "" if reject.page is None else f", page {number(reject.page)}"
    return batch + page + ("" if reject.at is None else f", place {number(reject.at)}")


def set_out(raw: str) -> str:
    """Return JSON text with a line for each value; digits stay as they are. Other text is kept."""
    try:
        json.loads(raw)
    except (ValueError, RecursionError):
        return raw
    return "".join(_pieces(PIECE.findall(raw)))


def _pieces(pieces: Sequence[str]) -> Iterator[str]:
    depth = 0
    before = ""
    for each in pieces:
        closes = each in CLOSING
        depth -= closes
        if (closes or before in (*OPENING, ",")) and not (closes and before in OPENING):
            yield "\n" + "  " * depth
        depth += each in OPENING
        yield json.dumps(json.loads(each), ensure_ascii=False) if each[0] == '"' else each
        yield " " if each == ":" else ""
        before = each


def reject_document(reject: Reject, *, raw: bool) -> Document:
    """Return a reject as JSON values; `raw` is the record's text as it was sent."""
    return {
        "id": reject.id,
        "mapping": reject.mapping,
        "stream": reject.stream,
        "run_id": reject.run_id,
        "batch": reject.batch_seq,
        "page": reject.page,
        "at": reject.at,
        "key": reject.key,
        "reasons": [each.as_json() for each in reject.reasons],
        "created_at": _iso(reject.created_at),
        "state": reject.outcome or "open",
        "resolved_at": _iso(reject.resolved_at),
        "resolved_by": reject.resolved_by,
        "retried_by": reject.retried_by,
        **({"raw": reject.raw} if raw else {}),
    }


def _iso(when: datetime | None) -> str | None:
    return None if when is None else when.astimezone(UTC).isoformat()


# --- a rehearsal ----------------------------------------------------------------------------------


def rehearsal_parts(mapping: str, found: Rehearsal, remarks: Sequence[str]) -> Iterator[Part]:
    """Yield how many rejects would pass now, by what they were refused for, and what is new."""
    passing = f"{number(found.passing)} of {plural(found.tried, 'reject')} would pass now"
    waiting = f", {number(found.waiting)} of which would wait for a parent"
    yield Line(f"{mapping}: {passing}{waiting if found.waiting else ''}", "title")
    yield from (Line(remark, "warning") for remark in remarks)
    if found.by_rule:
        titles = ("stream", "field", "rule")
        yield Line()
        yield Grid(
            headings=(*map(Heading, titles), Heading("rejects", right=True),
                      Heading("would pass", right=True)),
            rows=tuple((*rule, number(count), number(passing))
                       for rule, (count, passing) in found.by_rule.items()),
        )  # fmt: skip
    if found.refused:
        yield Line()
        yield Line("What would still be refused, and why:")
        for (stream, field, rule), count in Counter(found.refused).most_common():
            yield Line(f"  {number(count)} × {stream}.{field}: {rule}" if field else
                       f"  {number(count)} × {stream}: {rule}")  # fmt: skip
    yield Line("Nothing was written. The database may still refuse some.", "quiet")


def rehearsal_document(found: Rehearsal) -> Document:
    """Return a rehearsal as JSON values."""
    titles = ("stream", "field", "rule")
    return {
        "dry_run": True,
        "tried": found.tried,
        "passing": found.passing,
        "waiting": found.waiting,
        "by_rule": [
            {**dict(zip(titles, rule, strict=True)), "rejects": count, "passing": passing}
            for rule, (count, passing) in found.by_rule.items()
        ],
        "refused": [
            {**dict(zip(titles, rule, strict=True)), "rejects": count}
            for rule, count in found.refused.items()
        ],
    }
