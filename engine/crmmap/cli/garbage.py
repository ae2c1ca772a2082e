"""When a process of the command looks for garbage: not while it starts, and not as it ends.

What imports and plans are made of stays until the end, and then goes with the process. To walk
through all of it takes longer than to load fifty records.
"""

from __future__ import annotations

import atexit
import gc


def put_off() -> None:
    """Look for no garbage until `look_for_it` is called, and for none at the process's end."""
    gc.disable()
    atexit.register(gc.freeze)


def look_for_it() -> None:
    """Look for garbage from here on, if that was put off: all that is there now stays."""
    if not gc.isenabled():
        gc.freeze()
        gc.enable()
