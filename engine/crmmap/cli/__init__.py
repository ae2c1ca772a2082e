"""The command line: parse, call, print, exit code; nothing else.

`commands` says what may be typed; the other modules do it, one per command.
They are imported only when their command runs, so that `--help` is fast.
"""

from crmmap.cli.entry import main

__all__ = ["main"]
