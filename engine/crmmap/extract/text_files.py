"""A text file as a stream of UTF-8 bytes, whatever its encoding."""

from __future__ import annotations

import codecs
import re
from typing import Protocol

MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16, whose mark it starts with
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
"""The byte order marks, each with the encoding that it announces."""

BLOCK = 256 * 1024


class Bytes(Protocol):
    """A file's bytes, as far as readers need them."""

    def read(self, size: int = -1, /) -> bytes: ...
    def readline(self, size: int = -1, /) -> bytes: ...
    def seek(self, offset: int, /) -> int: ...
    def tell(self) -> int: ...


class Text(Protocol):
    """UTF-8 bytes that can be read forward; `read` gives fewer than asked only at the end.

    Bytes that the file's encoding does not know come out as bytes that are
    not valid UTF-8 either, so that whoever decodes them notices.
    """

    def read(self, size: int, /) -> bytes: ...
    def seek(self, offset: int, /) -> object: ...


def decoded(file: Bytes, declared: str) -> tuple[Text, str, int]:
    """Return the file's text, the name of its encoding, and the offset where the text starts.

    A byte order mark decides; without one, the declared encoding. Raises
    LookupError if Python knows no text encoding of that name.
    """
    file.seek(0)
    head = file.read(4)
    mark, encoding = next(
        ((mark, name) for mark, name in MARKS if head.startswith(mark)), (b"", declared)
    )
    "".encode(encoding)  # raises LookupError also for codecs that are not of texts
    name = codecs.lookup(encoding).name
    if name in {"utf-8", "utf-8-sig"}:
        return file, "utf-8", len(mark)
    return Transcoded(file, name, start=len(mark)), name, 0


class Transcoded:
    """A file in another encoding than UTF-8. Offsets count the UTF-8 bytes that come out of it.

    Seeking decodes the file again from its start: the only way that is right
    for every encoding, and needed only to resume.
    """

    def __init__(self, file: Bytes, encoding: str, *, start: int) -> None:
        self._file = file
        self._encoding = encoding
        self._start = start
        self.seek(0)

    def seek(self, offset: int, /) -> None:
        self._file.seek(self._start)
        self._decoder = codecs.getincrementaldecoder(self._encoding)(errors=_KEEP)
        self._held = b""
        while offset > 0 and (skipped := self.read(min(offset, BLOCK))):
            offset -= len(skipped)

    def read(self, size: int, /) -> bytes:
        parts, length = [self._held], len(self._held)
        while length < size:
            block = self._file.read(BLOCK)
            text = self._decoder.decode(block, final=not block)
            parts.append(text.encode("utf-8", "surrogatepass"))
            length += len(parts[-1])
            if not block:
                break
        whole = b"".join(parts)
        self._held = whole[size:]
        return whole[:size]


_KEEP = "crmmap-keep"


def _keep(error: UnicodeError) -> tuple[str, int]:
    """Decode what can't be decoded to lone surrogates, which no valid UTF-8 holds."""
    if not isinstance(error, UnicodeDecodeError):
        raise error
    bad = error.object[error.start : error.end]
    return "".join(chr(0xDC00 + byte) for byte in bad), error.end


codecs.register_error(_KEEP, _keep)


class Lookahead:
    """A text that can be looked at before it is taken."""

    def __init__(self, text: Text) -> None:
        self._text = text
        self._held = b""
        self._next = b""
        """The byte after those, where it was read: so that an end is known as one."""

    @property
    def held(self) -> int:
        """How many bytes were read and not taken yet."""
        return len(self._held) + len(self._next)

    def peek(self, size: int) -> tuple[bytes, bool]:
        """Return up to `size` bytes, and whether the text ends with them."""
        lacking = size - len(self._held)
        if lacking > 0:
            block = self._text.read(lacking - len(self._next))
            self._held, self._next = b"".join((self._held, self._next, block)), b""
        if lacking >= 0 and not self._next:
            self._next = self._text.read(1)
        # All of it is no copy.
        return self._held[:size], len(self._held) <= size and not self._next

    def take(self, size: int) -> None:
        self._held = self._held[size:]

    def take_line(self) -> int:
        """Take the rest of the line, however long, and return its length in bytes."""
        taken = 0
        while True:
            block, ended = self.peek(BLOCK)
            border = _LINE_END.search(block)
            # A CR at the block's end may be half of a CRLF: look again from there.
            split = border is not None and border.end() == len(block) and not ended
            settled = len(block) if border is None else border.start() if split else border.end()
            self.take(settled)
            taken += settled
            if ended or (border is not None and not split):
                return taken


_LINE_END = re.compile(rb"\r\n?|\n")
