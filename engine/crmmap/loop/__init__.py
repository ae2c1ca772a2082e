"""The loop: for each stream, for each page, make a batch, load it, remember the position."""

from crmmap.loop.run import run
from crmmap.loop.work import Options

__all__ = ["Options", "run"]
