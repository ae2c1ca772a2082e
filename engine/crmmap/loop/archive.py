"""Which pages of a batch are kept as they were read, in the archive, with the batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from crmmap.load import Piece, Tally, Transaction
from crmmap.load.archive import NO_PAGE
from crmmap.loop.packing import LINES, pack, pack_fields
from crmmap.loop.work import Work
from crmmap.plan import FoundField, Step
from crmmap.redact import Clean, Redactor, in_succession
from crmmap.spec.model import Keep
from crmmap.values import Archived, Batch

MEGABYTE = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Archiving:
    """How a stream's pages are kept: which of them, how many bytes at most, without secrets.

    `clean` gives what takes those out of a text that are known by now, or None. `found` are the
    fields that the source listed for it in this run.
    """

    keep: Keep
    most: int
    clean: Callable[[], Clean | None]
    found: tuple[FoundField, ...] = ()


def archiving_of(work: Work, step: Step) -> Archiving:
    """Return how a stream's pages are kept. What was kept already is not kept again."""
    own = Redactor(work.plan.secrets)
    return Archiving(
        keep="none" if work.options.apart else step.keeps,
        most=work.plan.archive.megabytes * MEGABYTE,
        clean=lambda: in_succession([own.clean if own else None, work.reader.clean]),
        found=work.found.get(step.name, ()),
    )  # fmt: skip


def archive(how: Archiving, batch: Batch, tally: Tally, transaction: Transaction) -> Archived:
    """Keep those of the batch's pages that are to be kept."""
    if how.keep == "none":
        return Archived()
    first = transaction.mark.batch_seq == 0
    listed = [_listed(how.found)] if how.found and first else []
    return transaction.archive([*listed, *_pieces(how, batch, tally)], how.most)


def _listed(found: tuple[FoundField, ...]) -> Piece:
    return Piece(
        page=NO_PAGE, piece=1, part="", why="fields", records=0, codec=LINES,
        body=pack_fields(found),
    )  # fmt: skip


def _pieces(how: Archiving, batch: Batch, tally: Tally) -> Iterator[Piece]:
    rejects, clean = set(tally.rejects["page"]), how.clean()
    for number, page in batch.sources.items():
        if page.fetched and (how.keep == "all" or number in rejects):
            why = "rejects" if number in rejects else "all"
            for piece, packed in enumerate(pack(page, clean), start=1):
                yield Piece(
                    page=number, piece=piece, part=page.part, why=why, records=packed.records,
                    codec=packed.codec, body=packed.body,
                )  # fmt: skip
