"""What is demanded of the records of a read as a whole: few rejects, and what was expected."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace

from crmmap.errors import PolicyError
from crmmap.load import Tally, Transaction
from crmmap.load.accounts import Read
from crmmap.loop.work import by_rule
from crmmap.plan import Expectation, Step
from crmmap.values import Batch

MOST_REASONS = 3
NOT_EXPECTED = "it was not as expected"
UNITS = (("days", 86_400), ("hours", 3600), ("minutes", 60), ("seconds", 1))


def demand_few_rejects(step: Step, read: Read, tally: Tally, before: Mapping[str, int]) -> None:
    """Raise PolicyError where a read has more rejects with this batch than its stream allows.

    `before` counts the reasons of the run's earlier batches.
    """
    if step.max_rejects is None or not tally.counts.rejected:
        return
    counted = read.with_counts(tally.counts)
    broken = step.max_rejects.broken(counted.rejected, counted.fetched, ended=tally.ended)
    if not broken:
        return
    reasons = Counter(before)
    reasons.update(by_rule(tally.rejects))
    most = ", ".join(f"{count:,} × {each}" for each, count in reasons.most_common(MOST_REASONS))
    message = (
        f"{counted.rejected:,} of {counted.fetched:,} records were rejected, more than "
        f"{broken} (max_rejects). The commonest reasons: {most}. The batch that went beyond was "
        "not written; what was committed before stays. Mend the mapping or the source, or allow "
        "more: --max-rejects"
    )
    raise PolicyError(message)


def judged(step: Step, batch: Batch, tally: Tally, transaction: Transaction) -> Tally:
    """Return the tally of a read's last batch with what was expected of the read, and is not so.

    Such a read has a gap, so that nothing is deleted by it; if it was of everything, its cursors
    stay where they were before it.
    """
    read = transaction.mark.read.with_counts(tally.counts)
    broken: tuple[str, ...] = ()
    if step.expectation is not None:
        broken = tuple(_broken(step, step.expectation, batch, read, transaction))
    if not broken:
        return replace(tally, whole=read.fetched if batch.whole else None)
    cursor = None if batch.whole else tally.cursor
    return replace(tally, broken=broken, gap=tally.gap or NOT_EXPECTED, cursor=cursor)


def _broken(
    step: Step, expected: Expectation, batch: Batch, read: Read, transaction: Transaction
) -> Iterator[str]:
    if expected.min_rows is not None:
        rows = read.rows if batch.whole else transaction.count_rows(step.target)
        if rows < expected.min_rows:
            where = "the read brought" if batch.whole else f"the table {step.target.table} has"
            found = _plural(rows, "row")
            yield f"min_rows: {where} {found}, fewer than {expected.min_rows:,}"
    if expected.max_drop is not None and batch.whole and read.last:
        drop = 1 - read.fetched / read.last
        if drop > expected.max_drop:
            allowed = f"{100 * expected.max_drop:.4g}% is allowed"
            yield (
                f"max_drop: the read fetched {_plural(read.fetched, 'record')}, {drop:.0%} fewer "
                f"than the {read.last:,} of the last complete read ({allowed})"
            )
    if expected.freshness is not None:
        yield from _stale(step, expected.dated, expected.freshness, transaction)


def _stale(step: Step, column: str, most: float, transaction: Transaction) -> Iterator[str]:
    age = transaction.age_of_latest(step.target, column)
    if age is None:
        yield f"freshness: no row of {step.target.table} has a value of {column}"
    elif age > most:
        told, allowed = _span(age), _span(most)
        yield f"freshness: the latest {column} is {told} old; it may be {allowed}"


def _span(seconds: float) -> str:
    word, length = next((each for each in UNITS if seconds >= 2 * each[1]), UNITS[-1])
    return f"{seconds / length:.3g} {word}"


def _plural(count: int, word: str) -> str:
    return f"{count:,} {word}{'' if count == 1 else 's'}"
