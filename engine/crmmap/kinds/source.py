"""Where records come from: what the streams of one mapping share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Literal

from crmmap.declare import Kind, Limits, OneOrMany, SettingText
from crmmap.kinds.auth import AUTH, Auth, NoAuth
from crmmap.kinds.database import Sql
from crmmap.kinds.durations import DURATION
from crmmap.kinds.formats import FORMATS, Csv, Format, Json
from crmmap.kinds.rate import Daily, Rate
from crmmap.kinds.responses import ResponseRule
from crmmap.kinds.retry import Retry

DAY = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """Bounds on one request, in seconds."""

    connect: Annotated[float, "To open the connection.", Limits(minimum=0.1, maximum=DAY)] = 10.0
    read: Annotated[
        float, "Between two pieces of the answer.", Limits(minimum=0.1, maximum=DAY)
    ] = 60.0
    total: Annotated[
        float, "For the whole answer, however it trickles.", Limits(minimum=0.1, maximum=DAY)
    ] = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Http:
    """An HTTP API. Credentials go to the origin of `base_url` and to `origins`, nowhere else."""

    base_url: Annotated[SettingText, "Scheme and host, and the path that all requests share."]
    auth: Annotated[Auth, Kind("auth", AUTH), "How requests prove who sends them."] = NoAuth()
    headers: Annotated[Mapping[str, SettingText], "Sent with every request."] = field(
        default_factory=dict
    )
    format: Annotated[Format, Kind("format", FORMATS), "How answers are written."] = Json()
    retry: Annotated[Retry, "When to send a request again."] = Retry()
    responses: Annotated[
        tuple[ResponseRule, ...], "Rules for answers that mean something of their own."
    ] = ()
    rate: Annotated[
        tuple[Rate, ...], OneOrMany(), "How often it may be asked; several, by their paths."
    ] = ()
    daily: Annotated[Daily | None, "How often it may be asked in a day."] = None
    concurrency: Annotated[
        int | None, "How many requests a host may be sent at a time.", Limits(1, 100)
    ] = None
    timeout: Annotated[Timeouts, "Bounds on one request."] = Timeouts()
    origins: Annotated[
        tuple[SettingText, ...], "Other origins (`https://host`) that may be sent requests."
    ] = ()
    max_body: Annotated[
        int, "Bytes: a longer answer, once decompressed, is refused.", Limits(minimum=1024)
    ] = 256 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Files:
    """Files on this machine, or in a store.

    A stream's `file` is a path, a pattern (`exports/*.csv`, `**` for any depth), a directory,
    `-` for standard input, or an address in another store (`s3://bucket/exports/*.csv`), which
    takes the extra `crmmap[fsspec]` and the store's own library. With the format's `unpack`, a
    gzip file is read as what is in it, and a zip archive as the files in it.

    Of several, each is read to its end, in the order of their names. Only regular files are
    opened. A file that changes while it is read fails the stream, which reads it again the next
    time. Of files with the same contents one is read and the others are counted, unless a
    `value` of the stream names `file`.
    """

    format: Annotated[Format, Kind("format", FORMATS), "How the files are written."] = Csv()
    root: Annotated[
        SettingText | None,
        "A directory outside of which nothing is read, wherever a path or a link leads.",
    ] = None
    pattern: Annotated[
        str, "Which files of a directory, or of a zip archive, are read.", Limits(min_length=1)
    ] = "*"
    none: Annotated[
        Literal["fail", "ok"],
        "What it means that a pattern or a directory has no file: an error, or nothing to read.",
    ] = "fail"
    settle: Annotated[
        str,
        "A file that changed less than so long ago is still being written: it is left for the "
        "next run.",
        Limits(pattern=DURATION),
    ] = "0s"
    max_document: Annotated[
        int,
        "Bytes: a longer JSON document is refused, for it can be read only whole; so is XML that "
        "is to be mended. CSV, JSON Lines and other XML are read piece by piece.",
        Limits(minimum=1024),
    ] = 256 * 1024 * 1024


Source = Http | Files | Sql

SOURCES: dict[str, type] = {"http": Http, "files": Files, "sql": Sql}
