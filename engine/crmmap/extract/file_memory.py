"""Which files were read to their end: kept as the stream's cursor, by their identity."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from crmmap.errors import SourceError
from crmmap.extract.stored import HEAD, Status, Stored, digest_of
from crmmap.plan import Step

Entry = tuple[int, int, str]
"""A file's size, time of change, and the digest of its head, cut to 64 bits."""

DIGITS = 16


@dataclass(slots=True)
class Memory:
    """The files that were read; `most` is how many there may be.

    `of` tells what the memory depends on: one of another is worth nothing. What is new since it
    was last written stands in `fresh` too, which positions carry.
    """

    of: str
    most: int
    files: dict[str, Entry] = field(default_factory=dict)
    fresh: dict[str, Entry] = field(default_factory=dict)

    @classmethod
    def of_step(cls, step: Step, state: str | None, fresh: Mapping[str, Entry]) -> Memory:
        """Return what was kept as the state of a stream, and in the position of a read."""
        kept = json.loads(state) if state else {}
        found = kept.get("files", {}) if kept.get("of") == step.cursor_of else {}
        memory = cls(of=step.cursor_of, most=step.remembered)
        for known, into in ((found, memory.files), (fresh, memory.files), (fresh, memory.fresh)):
            into.update({name: (size, time, head) for name, (size, time, head) in known.items()})
        return memory

    def knows(self, file: Stored, status: Status) -> bool:
        """Say whether the file was read as it is now. One that was only touched is known."""
        entry = self.files.get(file.name)
        if entry is None or entry[0] != status.size:
            return False
        if entry[1] == status.mtime_ns and status.mtime_ns:
            return True
        return status.size <= HEAD and entry[2] == digest_of(file, whole=False)[:DIGITS]

    def add(self, file: Stored, status: Status, head: str) -> None:
        """Take in a file that was read to its end. Raises SourceError if there are too many."""
        entry = (status.size, status.mtime_ns, head[:DIGITS])
        self.files[file.name] = self.fresh[file.name] = entry
        if len(self.files) > self.most:
            message = (
                f"more than {self.most} files would be remembered. Move those away that were read, "
                "or write a greater number: `incremental: {kind: file, most: NUMBER}`"
            )
            raise SourceError(message)

    def keep_only(self, names: Collection[str]) -> None:
        """Forget the files that are gone."""
        self.files = {name: entry for name, entry in self.files.items() if name in names}

    def written(self) -> str:
        """Return the stream's state; from here on nothing is new."""
        self.fresh = {}
        kept = {"files": self.files, "of": self.of}
        return json.dumps(kept, sort_keys=True, separators=(",", ":"))
