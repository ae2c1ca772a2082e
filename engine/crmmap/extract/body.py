"""A response's bytes, decompressed here because the libraries below us are too forgiving.

requests and urllib3 return a truncated gzip body as if it were whole, and follow a
compression bomb to its end. Here a body is whole, or it is an error.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator

from crmmap.errors import SourceError

PIECE = 256 * 1024
"""Bytes that are read or decompressed at once."""
SIP = 8 * 1024
"""Bytes decompressed at a time: so few that even `RATIO` times as many are not much."""

RATIO = 1000
RATIO_FREE = 10 * 1024 * 1024
"""Bytes: up to here a body may be blown up more than `RATIO` times (a short run of blanks is)."""
LAYERS = 3

ACCEPTED = "gzip, identity"

GZIP, ZLIB, BARE = 31, 15, -15
GZIP_MAGIC = b"\x1f\x8b"

NOT_COMPRESSED = "the body is not compressed, though its header says so"
DAMAGED = "the compressed body is damaged, or followed by something else"


class BadBody(SourceError):
    """A body that can't be used: incomplete, not decompressible, not what it says.

    `again` says whether another attempt may bring a better one.
    """

    def __init__(self, message: str, *, again: bool = True) -> None:
        self.again = again
        super().__init__(message)


class BadEncoding(BadBody):
    """The body is not compressed the way its header says, or in a way that we don't know."""


def decoded(pieces: Iterable[bytes], encoding: str, *, limit: int) -> Iterator[bytes]:
    """Yield the body's bytes, in pieces, without the given `Content-Encoding`.

    `limit` bounds the bytes on the wire and those yielded. Raises BadBody if the
    body ends too early, is followed by something else, or breaks a bound.
    """
    names = [name for name in _names(encoding) if name not in ("", "identity")]
    if len(names) > LAYERS:
        message = f"the body is compressed more than {LAYERS} times over"
        raise BadEncoding(message, again=False)
    meter = _Meter(limit)
    if not names:
        return meter.plain_wire(pieces)
    layers = meter.wire(pieces)
    for name in reversed(names):
        if name in ("gzip", "x-gzip"):
            layers = _inflated(layers, GZIP)
        elif name == "deflate":
            layers = _deflated(layers)
        else:
            message = f"the body has the content encoding '{name[:20]}', which was not asked for"
            raise BadEncoding(message)
    return meter.plain(layers)


def _names(encoding: str) -> list[str]:
    kept = "".join(character for character in encoding.lower() if character.isprintable())
    return [name.strip() for name in kept.split(",")]


class _Meter:
    """Counts what comes in and what goes out of one body."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._came = 0
        self._went = 0

    def plain_wire(self, pieces: Iterable[bytes]) -> Iterator[bytes]:
        """Yield what is not compressed, which can't grow."""
        for piece in pieces:
            self._came += len(piece)
            self._bound(self._came)
            yield piece

    def wire(self, pieces: Iterable[bytes]) -> Iterator[bytes]:
        for piece in pieces:
            for at in range(0, len(piece), SIP):
                sip = piece[at : at + SIP]
                self._came += len(sip)
                self._bound(self._came)
                yield sip

    def plain(self, pieces: Iterable[bytes]) -> Iterator[bytes]:
        for piece in pieces:
            self._went += len(piece)
            self._bound(self._went)
            if self._went > max(RATIO_FREE, RATIO * self._came):
                message = (
                    f"the body grows more than {RATIO} times on decompression: "
                    "a compression bomb, or a broken server"
                )
                raise BadBody(message, again=False)
            yield piece

    def _bound(self, size: int) -> None:
        if size > self._limit:
            message = (
                f"the body is longer than {self._limit} bytes; "
                "ask for smaller pages, or raise the source's max_body"
            )
            raise BadBody(message, again=False)


def _inflated(pieces: Iterable[bytes], window: int) -> Iterator[bytes]:
    """Yield decompressed pieces; `window` is zlib's word for the container (`GZIP`, …)."""
    inflater, started = None, False
    for piece in pieces:
        pending = piece
        if pending and not started and window == GZIP and not GZIP_MAGIC.startswith(pending[:2]):
            raise BadEncoding(NOT_COMPRESSED)
        while pending:
            started = True
            inflater = inflater or zlib.decompressobj(window)
            yield from _drained(inflater, pending, window)
            pending = inflater.unused_data
            if inflater.eof:
                # gzip may hold several members one after the other; zlib streams may not.
                if pending and window != GZIP:
                    raise _unreadable(window, DAMAGED)
                inflater = None
    if inflater is not None or not started:
        raise _unreadable(window, "the compressed body is cut short")


def _unreadable(window: int, message: str) -> BadBody:
    # Bare deflate data has no mark to know it by, so it may as well be plain text.
    return BadEncoding(NOT_COMPRESSED) if window == BARE else BadBody(message)


def _drained(inflater: zlib._Decompress, pending: bytes, window: int) -> Iterator[bytes]:
    """Yield all that the input gives, never more than a piece at a time."""
    while not inflater.eof:
        try:
            piece = inflater.decompress(pending, PIECE)
        except zlib.error:
            raise _unreadable(window, DAMAGED) from None
        if piece:
            yield piece
        pending = inflater.unconsumed_tail
        # A full piece may mean that more waits inside, even when all input is taken.
        if not pending and len(piece) < PIECE:
            return


def _deflated(pieces: Iterable[bytes]) -> Iterator[bytes]:
    # `deflate` means a zlib stream (RFC 9110), but some servers send the bare data.
    source = (piece for piece in pieces if piece)
    head = b""
    for piece in source:
        head += piece
        if len(head) >= 2:
            break
    is_zlib = len(head) >= 2 and head[0] & 15 == 8 and int.from_bytes(head[:2]) % 31 == 0
    return _inflated(_chained(head, source), ZLIB if is_zlib else BARE)


def _chained(head: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield head
    yield from rest
