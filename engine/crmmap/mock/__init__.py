"""The world, pretended from the mapping itself: a server or files with invented records."""

from crmmap.mock.files import write_files
from crmmap.mock.pools import hints_of
from crmmap.mock.pretence import Pretence, mocked, pretended, ways_in, world_of
from crmmap.mock.records import Stream, World
from crmmap.mock.server import Server, serve
from crmmap.mock.streams import record, streams_of

__all__ = [
    "Pretence",
    "Server",
    "Stream",
    "World",
    "hints_of",
    "mocked",
    "pretended",
    "record",
    "serve",
    "streams_of",
    "ways_in",
    "world_of",
    "write_files",
]
