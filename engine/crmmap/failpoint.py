"""Named places where a test can have the process killed: proof that any crash is survived.

`fail_at("load.before_commit")` does nothing, unless the environment variable
CRMMAP_FAILPOINT names that place: `NAME`, or `NAME:COUNT` for the COUNTth time
it is passed. Then the process kills itself with SIGKILL, which nothing can
catch. The variable is read once, when the first of these places is passed.
"""

from __future__ import annotations

import os
import signal
from functools import cache
from itertools import count

_passes = count(1)


@cache
def _asked() -> tuple[str, int]:
    name, _, passes = os.environ.get("CRMMAP_FAILPOINT", "").partition(":")
    return name, int(passes or 1)


def fail_at(name: str) -> None:
    """Kill this process if the environment asks for it at the place called `name`."""
    if name == _asked()[0] and next(_passes) == _asked()[1]:
        os.kill(os.getpid(), signal.SIGKILL)
