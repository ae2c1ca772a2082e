"""The command line: parse, call, print, exit code; nothing else.

`commands` says what may be typed; the other modules do it, one per command.
They are imported only when their command runs, so that `--help` is fast.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Sequence
from contextlib import suppress

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code; nothing is raised, not even `SystemExit`.

    `arguments` are the process's own by default.
    """
    # By default garbage is looked for at every seven hundredth object.
    gc.set_threshold(20_000)
    try:
        # Imported here, so that Ctrl-C during the imports is one line and no traceback.
        from crmmap.cli.entry import main as run
        from crmmap.cli.garbage import put_off

        if arguments is None:  # and the process is ours
            put_off()
        return run(arguments)
    except KeyboardInterrupt:
        with suppress(OSError):
            os.write(2, b"interrupted\n")
        return 130
