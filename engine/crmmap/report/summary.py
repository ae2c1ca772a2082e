"""How runs went, for people: a table, the accounting in words, the trouble, and what to do next."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from crmmap.errors import ExitCode, gravest
from crmmap.events import RunReport, StreamReport
from crmmap.report.parts import Grid, Heading, Line, Part, Tone
from crmmap.report.wording import duration, listed, number, plural, rate, size
from crmmap.values import OUTCOMES, Archived, Counts

ALWAYS = ("fetched", "inserted", "updated", "unchanged", "rejected")
"""Counts that the table shows even where all are zero."""
MOST_REASONS = 6
GO_ON = {
    "interrupted": ("To go on from here:", "To begin again:"),
    "paused": ("Later, the same command goes on:", "Later, run it again:"),
    "failed": (
        "Once that is put right, the same command goes on:",
        "Once that is put right, run it again:",
    ),
}
"""What the same command does after a run: where something was committed, and where nothing was."""
WORTH_TELLING = 0.05
"""Seconds of waiting from which a summary speaks of it."""
RATE = "records/s"
RETRIED = {
    "loaded": "loaded",
    "superseded": "superseded by newer ones",
    "filtered": "filtered",
    "waiting": "waiting for a parent",
    "newer": "left alone, as a later run has written their rows",
    "refused": "still refused",
}
"""What became of rejects that were tried again."""
TONES: Mapping[str, Tone] = {
    "done": "good",
    "failed": "bad",
    "skipped": "quiet",
    "paused": "warning",
    "interrupted": "warning",
    "not begun": "quiet",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Missed:
    """A mapping that has no report: its run raised an error, or was not begun."""

    mapping: str
    message: str
    exit_code: ExitCode
    status: str = "failed"


Outcome = RunReport | Missed


def worst(outcomes: Iterable[Outcome]) -> ExitCode:
    """Return the exit code of several runs: the greatest, so that an interruption wins.

    That one is paused counts only where none has failed.
    """
    return gravest(each.exit_code for each in outcomes)


def summary(outcomes: Sequence[Outcome], again: Mapping[str, str]) -> Iterator[Part]:
    """Yield the closing summary. `again` has, by mapping, the command that resumes it."""
    for place, outcome in enumerate(outcomes):
        if place:
            yield Line()
        if isinstance(outcome, Missed):
            yield Line(f"{outcome.mapping}: {outcome.status}", TONES[outcome.status])
            yield Line(_indented(outcome.message))
        else:
            yield from _section(outcome, again.get(outcome.mapping, ""))
    if len(outcomes) > 1:
        yield Line()
        yield from _together(outcomes)


# --- one mapping ----------------------------------------------------------------------------------


def _section(report: RunReport, again: str) -> Iterator[Part]:
    yield _headline(report)
    if report.dry_run:
        counted = (
            "the counts are as into an empty one"
            if report.kind == "run"
            else "a record that was kept several times is counted each time"
        )
        yield Line(f"dry run: nothing was written to the store; {counted}.", "warning")
    yield from (Line(remark, "warning") for remark in report.remarks)
    if not report.streams:  # there was nothing to do
        return
    yield Line()
    yield _streams(report)
    yield Line()
    yield _accounting(report.counts)
    yield from _duplicates(report)
    yield from _deletions(report)
    yield from _troubles(report)
    yield from _all_rejected(report)
    yield from _unexpected(report)
    yield from _skips(report)
    yield from _unread(report)
    yield from _retries(report)
    yield from _retried(report)
    yield from _reasons(report)
    yield from _archived(report)
    yield from _paths(report)
    yield from _outlook(report, again)


def _headline(report: RunReport) -> Line:
    title = f" ({report.title})" if report.title not in ("", report.mapping) else ""
    text = f"{report.mapping}{title}: {report.status} in {duration(report.seconds)}"
    return Line(text, "bad" if report.exit_code == ExitCode.DATA_POLICY else TONES[report.status])


def _streams(report: RunReport) -> Grid:
    shown = _shown(each.counts for each in report.streams)
    headings = (
        *(Heading(title) for title in ("stream", "table", "status")),
        *(Heading(title, right=True) for title in (*shown, "seconds", RATE)),
    )
    several = len(report.streams) > 1
    return Grid(
        headings=headings,
        rows=tuple(_stream_row(each, shown) for each in report.streams),
        total=("all", "", "", *_figures(report.counts, shown, report.seconds)) if several else None,
        tones=tuple("plain" if each.status == "done" else TONES[each.status]
                    for each in report.streams),
    )  # fmt: skip


def _stream_row(stream: StreamReport, shown: Sequence[str]) -> tuple[str, ...]:
    status = f"{stream.status}, resumed" if stream.resumed else stream.status
    return (stream.stream, stream.table, status, *_figures(stream.counts, shown, stream.seconds))


def _shown(every: Iterable[Counts]) -> tuple[str, ...]:
    """Return the counts worth a column: the usual ones, and those that are not zero everywhere."""
    counts = tuple(every)
    return tuple(
        name
        for name in ("fetched", *OUTCOMES)
        if name in ALWAYS or any(getattr(each, name) for each in counts)
    )


def _figures(counts: Counts, shown: Sequence[str], seconds: float) -> tuple[str, ...]:
    figures = (number(getattr(counts, name)) for name in shown)
    return (*figures, f"{seconds:,.1f}", rate(counts.fetched, seconds))


def _accounting(counts: Counts) -> Line:
    """Return where every record went: `12 fetched = 11 inserted + 1 rejected: balanced`."""
    if counts == Counts():
        return Line("nothing was fetched", "quiet")
    text = f"{number(counts.fetched)} fetched = {_sum(counts)}"
    if counts.balanced:
        return Line(f"{text}: balanced", "good")
    lost = counts.fetched - sum(getattr(counts, name) for name in OUTCOMES)
    what = f"{plural(abs(lost), 'record')} {'unaccounted for' if lost > 0 else 'counted twice'}"
    return Line(f"{text}: NOT balanced, {what}. Please report this as a fault of crmmap", "bad")


def _duplicates(report: RunReport) -> Iterator[Part]:
    """Yield how many records were duplicates by which rule, where there are several rules."""
    for stream in report.streams:
        if any(stream.duplicates.values()):
            found = (
                f"{number(count)} by {listed(rule.split(', '))}"
                for rule, count in stream.duplicates.items()
                if count
            )
            yield Line(f"{stream.stream}: duplicates: {', '.join(found)}", "quiet")


def _deletions(report: RunReport) -> Iterator[Part]:
    """Yield how many rows were deleted, and where that could not be told."""
    for stream in report.streams:
        if stream.counts.deleted:
            rows = plural(stream.counts.deleted, "row")
            yield Line(f"{stream.stream}: {rows} of {stream.table} deleted")
        if stream.gap:
            without = f"{stream.stream}: no row is deleted or replaced"
            yield Line(f"{without}, as the read was not complete: {stream.gap}", "quiet")


def _sum(counts: Counts) -> str:
    text = ""
    for name in OUTCOMES:
        value = getattr(counts, name)
        if value:
            sign = " − " if value < 0 else " + " if text else ""
            text += f"{sign}{number(abs(value))} {name}"
    return text.strip() or "nothing"


def _troubles(report: RunReport) -> Iterator[Part]:
    """Yield the streams that did not come to their end, with what, where and what to do."""
    alike: dict[tuple[str, str], list[str]] = {}
    for stream in report.streams:
        if stream.status != "done":
            alike.setdefault((stream.status, stream.message), []).append(stream.stream)
    if alike:
        yield Line()
    for (status, said), names in alike.items():
        message = f": {said}" if said else ""
        yield Line(f"{status} {listed(names)}{message}", TONES[status])


def _all_rejected(report: RunReport) -> Iterator[Part]:
    """Yield, loudly, the streams of which nothing could be used, although all went well."""
    lost = [each for each in report.streams if each.all_rejected]
    if lost:
        yield Line()
    for stream in lost:
        text = (
            f"every record of {stream.stream} was rejected; nothing of it was loaded. "
            "The reasons below say what the mapping asks of them"
        )
        yield Line(text, "bad")


def _unexpected(report: RunReport) -> Iterator[Part]:
    """Yield what was expected of streams, and is not so."""
    broken = [each for each in report.streams if each.broken]
    if broken:
        yield Line()
    for stream in broken:
        yield from (Line(f"{stream.stream} is not as expected: {each}", "bad")
                    for each in stream.broken)  # fmt: skip
    if broken:
        yield Line(
            "  What was read is loaded, and nothing was deleted by it. If it is right so, "
            "--no-expect takes it as it comes", "quiet",
        )  # fmt: skip


def _skips(report: RunReport) -> Iterator[Part]:
    """Yield what was taken for "no records here": a source that hides records looks the same."""
    skips = [each for each in report.streams if each.skips]
    if skips:
        yield Line()
    for stream in skips:
        count = sum(stream.skips.values())
        yield Line(
            f"{stream.stream}: skipped {_times(count)}, for the source has nothing there:",
            "warning",
        )
        for why, times in Counter(stream.skips).most_common(MOST_REASONS):
            yield Line(f"  {number(times)} × {why}")
        if len(stream.skips) > MOST_REASONS:
            rarer = plural(len(stream.skips) - MOST_REASONS, "rarer reason")
            yield Line(f"  and {rarer}", "quiet")


def _unread(report: RunReport) -> Iterator[Part]:
    """Yield how many files were left unread, and why."""
    for stream in report.streams:
        for why, count in stream.unread.items():
            yield Line(f"{stream.stream}: {plural(count, 'file')} not read: {why}", "quiet")


def _times(count: int) -> str:
    return "once" if count == 1 else f"{number(count)} times"


def _retries(report: RunReport) -> Iterator[Part]:
    """Yield how often requests were sent again, and how long streams had to wait."""
    met = [each for each in report.streams if each.retries or each.waited >= WORTH_TELLING]
    if not met:
        return
    yield Line()
    total = sum(each.retries for each in met)
    waited = sum(each.waited for each in met)
    yield Line(_sent_again(total, waited))
    if len(report.streams) > 1:
        yield from (
            Line(f"  {each.stream}: {_sent_again(each.retries, each.waited)}") for each in met
        )


def _sent_again(count: int, waited: float) -> str:
    pause = f", {duration(waited)} waited" if waited >= WORTH_TELLING else ""
    return f"{plural(count, 'request')} sent again{pause}"


def _retried(report: RunReport) -> Iterator[Part]:
    """Yield what became of the rejects that were tried again."""
    found = Counter[str]()
    for stream in report.streams:
        found.update(stream.retried)
    if not found:
        return
    yield Line()
    ends = (f"{number(found[end])} {word}" for end, word in RETRIED.items() if found[end])
    yield Line(f"{plural(found.total(), 'reject')} tried again: {listed(ends)}")
    if found["newer"]:
        yield Line("  --force writes over rows that a later run has written", "quiet")


def _reasons(report: RunReport) -> Iterator[Part]:
    counts = report.counts
    if counts.rejected:
        yield Line()
        yield Line(f"{plural(counts.rejected, 'record')} rejected:", "warning")
        yield from _top(report, {each.stream: each.reasons for each in report.streams})
        yield from _where(report, "crmmap_rejects")
    if counts.noted:
        yield Line()
        yield Line(f"{plural(counts.noted, 'cell')} noted (emptied, or kept as text):", "warning")
        yield from _top(report, {each.stream: each.notes for each in report.streams})
        yield from _where(report, "crmmap_notes")
    yield from _keys(report)
    yield from _waiting(report)


def _waiting(report: RunReport) -> Iterator[Part]:
    for stream in report.streams:
        if stream.waiting:
            wait = plural(stream.waiting, "record")
            waits = "waits" if stream.waiting == 1 else "wait"
            where = "would wait" if report.dry_run else f"{waits} in crmmap_deferred"
            text = f"{wait} of {stream.stream} {where} until a parent arrives"
            yield Line(f"{text}{':' if stream.waits else '.'}", "warning")
        for each in stream.waits:
            parent = f" ({each.parent})" if each.parent else ""
            since = "" if report.dry_run else f", since {each.since[:16].replace('T', ' ')} UTC"
            yield Line(f"  {number(each.count)} × {each.field}{parent}{since}")


def _keys(report: RunReport) -> Iterator[Part]:
    """Yield what became of the foreign keys, if there are any."""
    keys = Counter[str]()
    for stream in report.streams:
        for counts in stream.keys.values():
            keys.update(counts)
    if not keys.total():
        return
    yield Line()
    found = (f"{number(keys[what])} {what}" for what in ("resolved", "stubbed", "missing"))
    yield Line(f"foreign keys: {', '.join(found)}")
    if report.counts.stubbed:
        stubs = plural(report.counts.stubbed, "parent row")
        yield Line(f"{stubs} inserted with only a key, to be filled in when the parent arrives.")


def _archived(report: RunReport) -> Iterator[Part]:
    """Yield how many pages the archive took, and what had to leave it."""
    kept = sum((each.archived for each in report.streams), Archived())
    if not kept.pages or report.dry_run:
        return
    dropped = f"; the oldest {plural(kept.dropped, 'page')} dropped" if kept.dropped else ""
    yield Line()
    yield Line(f"archive: {plural(kept.pages, 'page')} kept ({size(kept.bytes)}){dropped}", "quiet")


def _paths(report: RunReport) -> Iterator[Part]:
    """Yield how many JSON records were read which way."""
    read = Counter[str]()
    for stream in report.streams:
        read.update(stream.paths)
    if read.total():
        exact = f", {number(read['exact'])} decoded one by one" if read["exact"] else ""
        yield Line()
        yield Line(f"JSON records: {number(read['compiled'])} read by columns{exact}", "quiet")


def _top(report: RunReport, tallies: Mapping[str, Mapping[str, int]]) -> Iterator[Part]:
    several = len(report.streams) > 1
    found = Counter[str]()
    for stream, tally in tallies.items():
        for reason, count in tally.items():
            # A reason is `field: rule`, or the rule alone where the whole record is meant.
            joint = "." if ": " in reason else ": "
            found[f"{stream}{joint}{reason}" if several else reason] += count
    for reason, count in found.most_common(MOST_REASONS):
        yield Line(f"  {number(count)} × {reason}")
    if len(found) > MOST_REASONS:
        yield Line(f"  and {plural(len(found) - MOST_REASONS, 'rarer reason')}", "quiet")


def _where(report: RunReport, table: str) -> Iterator[Part]:
    if not report.dry_run:
        again = table == "crmmap_rejects" and any(each.retried for each in report.streams)
        column = "retried_by" if again else "run_id"
        query = f"SELECT * FROM {table} WHERE {column} = '{report.run_id}'"  # noqa: S608  (shown only)
        yield Line(f"  {query}", "quiet")


def _outlook(report: RunReport, again: str) -> Iterator[Part]:
    yield Line()
    if not report.dry_run:
        yield Line(f"store {report.store}, run {report.run_id}", "quiet")
    if again and (how := _how_to_go_on(report)):
        yield Line(how)
        yield Line(f"  {again}", "title")


def _how_to_go_on(report: RunReport) -> str:
    """Return what the next command does; empty where there is nothing left to do."""
    failed = any(each.status == "failed" for each in report.streams)
    status = "failed" if failed and report.status != "interrupted" else report.status
    if status not in GO_ON or (status == "failed" and not failed):
        return ""
    kept = any(each.resumed or each.counts.fetched for each in report.streams)
    some, nothing = GO_ON[status]
    return f"What was committed stays. {some}" if kept else f"Nothing was committed. {nothing}"


# --- several mappings -----------------------------------------------------------------------------


def _together(outcomes: Sequence[Outcome]) -> Iterator[Part]:
    reports = [each for each in outcomes if isinstance(each, RunReport)]
    total = sum((each.counts for each in reports), Counts())
    seconds = sum(each.seconds for each in reports)
    yield Line(f"{plural(len(outcomes), 'mapping')}: {_statuses(outcomes)}", "title")
    yield Line()
    shown = _shown(each.counts for each in reports)
    yield Grid(
        headings=(
            *(Heading(title) for title in ("mapping", "status")),
            *(Heading(title, right=True) for title in (*shown, "seconds", RATE)),
        ),
        rows=tuple(_mapping_row(each, shown) for each in outcomes),
        total=("all", "", *_figures(total, shown, seconds)),
        tones=tuple("plain" if each.status == "done" else TONES[each.status]
                    for each in outcomes),
    )  # fmt: skip
    yield Line()
    yield _accounting(total)


def _mapping_row(outcome: Outcome, shown: Sequence[str]) -> tuple[str, ...]:
    if isinstance(outcome, Missed):
        return (outcome.mapping, outcome.status, *("-" for _ in shown), "-", "-")
    return (outcome.mapping, outcome.status, *_figures(outcome.counts, shown, outcome.seconds))


def _statuses(outcomes: Sequence[Outcome]) -> str:
    found = Counter(each.status for each in outcomes)
    return listed(f"{count} {status}" for status, count in found.items())


def _indented(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.splitlines())
