"""Durations as an author writes them: `90s`, `5m`, `2h`, `30d`."""

from __future__ import annotations

import re

DURATION = r"^[0-9]+(\.[0-9]+)?(ms|s|m|h|d|w)$"
"""What a duration looks like: a number and its unit."""

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0, "w": 604_800.0}
_PARTS = re.compile(r"([0-9.]+)(ms|[smhdw])")


def seconds(text: str) -> float:
    """Return a duration in seconds. Raises ValueError where the text is none."""
    found = _PARTS.fullmatch(text) if re.fullmatch(DURATION, text) else None
    if found is None:
        message = f"{text[:20]!r} is no duration. Write a number and a unit: 90s, 5m, 2h, 30d"
        raise ValueError(message)
    return float(found[1]) * _UNITS[found[2]]
