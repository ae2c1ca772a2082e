"""Whether the steps of a shape can follow each other, and take what stands before them."""

from __future__ import annotations

from collections.abc import Iterator

from crmmap.kinds.shapes import SHAPES
from crmmap.kinds.tables import Union
from crmmap.spec.faults import Fault
from crmmap.spec.model import Stream
from crmmap.values import Path


def faults(stream: Stream, path: Path) -> Iterator[Fault]:
    """Yield the steps that can't do what they say where they stand."""
    for at, step in enumerate(stream.shape):
        word = next(token for token, made in SHAPES.items() if made is type(step))
        place = (*path, "shape", at, word)
        if at and step.takes != "record":
            message = "finds the records, for later steps to take. It must be the first step"
            yield Fault(path=place, rule="shape.first", message=message)
        if isinstance(step, Union) and not step.of:
            message = "unites nothing. Write at least one list: `{of: {open: …}, as: state}`"
            yield Fault(path=(*place, "of"), rule="shape.union", message=message)
