"""Bodies that are packed once more: gzip and zip, with bounds, and nothing written anywhere."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from io import BytesIO
from typing import IO
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile, ZipInfo

from crmmap.extract.body import GZIP_MAGIC, RATIO, RATIO_FREE, SIP, BadBody, decoded
from crmmap.kinds.formats import Unpack

ZIP_MAGIC = b"PK\x03\x04"
ENCRYPTED = 1
"""The bit that says so among an entry's flags."""


def unpacked(body: bytes, how: Unpack, *, limit: int) -> bytes:
    """Return what is packed in a body of at most `limit` bytes, itself no longer than that.

    Raises BadBody where it is not packed so, damaged, encrypted, packed again, or a bomb.
    """
    if how == "auto":
        how = told(body)
    if how == "none":
        return body
    if how == "gzip":
        inside = b"".join(decoded([body], "gzip", limit=limit))
    else:
        inside = b"".join(_in_zip(body, limit))
    if told(inside) != "none":
        message = f"what is packed as {how} is packed once more"
        raise BadBody(message, again=False)
    return inside


def told(body: bytes) -> Unpack:
    """Return how a body is packed, as its first bytes tell."""
    if body.startswith(GZIP_MAGIC):
        return "gzip"
    return "zip" if body.startswith(ZIP_MAGIC) else "none"


def _in_zip(body: bytes, limit: int) -> Iterator[bytes]:
    try:
        with ZipFile(BytesIO(body)) as archive:
            entry = _only(archive)
            # Its name is a name alone: nothing is written under it.
            with archive.open(entry) as file:
                yield from _bounded(file, limit, packed=max(1, entry.compress_size))
    except (BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError):
        message = "the zip archive is damaged or cut short"
        raise BadBody(message) from None


def _only(archive: ZipFile) -> ZipInfo:
    entries = [each for each in archive.infolist() if not each.is_dir()]
    if len(entries) != 1:
        message = f"the zip archive holds {len(entries)} files. Only one with a single file is read"
        raise BadBody(message, again=False)
    (entry,) = entries
    if entry.flag_bits & ENCRYPTED:
        message = "the zip archive is encrypted. Ask for one without a password"
        raise BadBody(message, again=False)
    if entry.compress_type not in (ZIP_STORED, ZIP_DEFLATED):
        message = "the zip archive is compressed in a way that is not read. Allowed: deflate, none"
        raise BadBody(message, again=False)
    return entry


def _bounded(file: IO[bytes], limit: int, *, packed: int) -> Iterator[bytes]:
    came = 0
    while piece := file.read(SIP):
        came += len(piece)
        if came > limit:
            message = f"what is packed is longer than {limit} bytes; raise the source's max_body"
            raise BadBody(message, again=False)
        if came > max(RATIO_FREE, RATIO * packed):
            message = f"what is packed grows more than {RATIO} times: a compression bomb"
            raise BadBody(message, again=False)
        yield piece
