"""The pretended source as files, in the format that the mapping declares."""

from __future__ import annotations

import codecs
import glob
import io
from collections.abc import Iterator, Sequence
from pathlib import Path

import polars as pl

from crmmap.kinds.formats import FORMATS, Csv
from crmmap.mock.lined import packed
from crmmap.mock.records import Stream, World
from crmmap.mock.routes import around_of
from crmmap.mock.shapes import body_of
from crmmap.mock.streams import streams_of
from crmmap.plan import Step

PACKED = {"none": "", "gzip": ".gz", "auto": ".gz", "zip": ".zip"}

CHUNK = 20_000
"""Records held in memory at a time."""


def write_files(world: World, source: str, folder: Path) -> dict[str, Path]:
    """Write the streams of a file source, by its name, into a folder, which is made if need be.

    Returns each stream's file. Streams that name one file share it, with the
    headers of them all. Raises OSError if the folder can't be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    streams = streams_of(world)
    steps = [step for step in world.plan.steps if step.source_name == source]
    paths = {step.name: folder / name for step, name in _names(steps)}
    for path in dict.fromkeys(paths.values()):
        sharing = [streams[name] for name, each in paths.items() if each == path]
        form = sharing[0].step.format
        if not isinstance(form, Csv):
            path.write_bytes(_document(sharing[0]))
            continue
        if form.unpack != "none":
            path.write_bytes(packed("".join(_texts(sharing, form)), form))
            continue
        encoder = codecs.getincrementalencoder(form.encoding)(errors="replace")
        with path.open("wb") as file:
            for text in _texts(sharing, form):
                file.write(encoder.encode(text))
    return paths


def _names(steps: Sequence[Step]) -> Iterator[tuple[Step, str]]:
    """Yield each step and its file's name: the mapping's own, if it names a file."""
    whose: dict[str, str] = {}
    for step in steps:
        own = Path(step.file or "")
        plain = own.suffix and not glob.has_magic(own.name)
        name = own.name if plain else f"{step.name}{_suffix(step)}"
        # One name in two folders is two files.
        clash = whose.setdefault(name, str(own)) != str(own)
        yield step, f"{step.name}{_suffix(step)}" if clash else name


def _suffix(step: Step) -> str:
    word = next((word for word, made in FORMATS.items() if made is type(step.format)), "csv")
    how = getattr(step.format, "unpack", "none")
    return f".{word}{PACKED[how]}"


def _document(stream: Stream) -> bytes:
    """Return a file that is not CSV, as an answer would have it."""
    step, lines = stream.step, stream.lines(0, stream.world.records)
    return packed(body_of(step, around_of(step), lines, {}), step.format)


def _texts(streams: Sequence[Stream], form: Csv) -> Iterator[str]:
    headers = list(dict.fromkeys(name for stream in streams for name in stream.headers))
    yield _written(pl.DataFrame([headers], schema=[f"{at}" for at in range(len(headers))],
                                orient="row"), form)  # fmt: skip
    total = streams[0].world.records
    for start in range(0, total, CHUNK):
        stop = min(start + CHUNK, total)
        columns: dict[str, pl.Series] = {}
        for stream in reversed(streams):
            texts, ragged = stream.cells(start, stop)
            columns.update(zip(stream.headers, texts, strict=True))
        chunk = pl.DataFrame({name: columns[name] for name in headers})
        yield from _lines(chunk, ragged, form)


def _lines(chunk: pl.DataFrame, ragged: pl.Series, form: Csv) -> Iterator[str]:
    """Yield the chunk's text; a ragged line has a cell too many, or one too few."""
    start = 0
    for at in ragged.is_not_null().arg_true().to_list():
        yield _written(chunk.slice(start, at - start), form)
        # On one physical line, or a reader that goes by lines would count it several times.
        line = chunk.slice(at, 1).with_columns(pl.all().str.replace_all("\n", " "))
        wide = ragged[at] % 2 == 0 or line.width == 1
        line = line.with_columns(pl.lit("more").alias("#more")) if wide else line[:, :-1]
        yield _written(line, form)
        start = at + 1
    yield _written(chunk.slice(start), form)


def _written(frame: pl.DataFrame, form: Csv) -> str:
    if frame.is_empty():
        return ""
    text = io.BytesIO()
    frame.write_csv(
        text, include_header=False, separator=form.delimiter, quote_char=form.quote,
        line_terminator="\r\n",
    )  # fmt: skip
    return text.getvalue().decode()
