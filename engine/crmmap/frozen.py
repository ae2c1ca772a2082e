"""Frozen dataclasses that are made quickly, for a command starts with hundreds of them.

The standard library writes and compiles six functions for each, which took longer than all else
that a check of a mapping does. Here they share what they can, and nothing is compiled. To whoever
uses one, a type checker included, it is as if the standard library had made it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from operator import attrgetter
from reprlib import recursive_repr
from typing import TYPE_CHECKING, Any, NoReturn

__all__ = ["dataclass"]


def _dataclass(*, frozen: bool = False, eq: bool = True, **options: Any) -> Callable[[Any], Any]:
    """Return what makes a dataclass of a class: the standard library, unless of frozen slots."""
    if not (frozen and options.get("slots")):
        return dataclasses.dataclass(frozen=frozen, eq=eq, **options)

    def made(declared: type) -> Any:
        bare: Any = dataclasses.dataclass(init=False, repr=False, eq=False, **options)(declared)
        bare.__init__ = _init(bare)
        if eq:
            bare.__eq__, bare.__hash__ = _equality(bare)
        bare.__repr__ = _repr
        bare.__setattr__, bare.__delattr__ = _refuse_to_set, _refuse_to_delete
        bare.__getstate__, bare.__setstate__ = _state, _restore
        return bare

    return made


if TYPE_CHECKING:
    from dataclasses import dataclass
else:
    dataclass = _dataclass


def _init(made: Any) -> Callable[..., None]:
    """Return the `__init__` of a class: it puts values straight into the slots."""
    parts, missing = dataclasses.fields(made), dataclasses.MISSING
    slots = [(part.name, getattr(made, part.name).__set__) for part in parts]
    in_order = [part.name for part in parts if not part.kw_only]
    defaults = {part.name: part.default for part in parts if part.default is not missing}
    makers = [
        (part.name, part.default_factory) for part in parts if part.default_factory is not missing
    ]
    finish = getattr(made, "__post_init__", None)

    def init(self: object, /, *args: object, **given: object) -> None:
        values = defaults | given
        if args:
            if len(args) > len(in_order) or not given.keys().isdisjoint(in_order[: len(args)]):
                raise _misfit(made, "is given too much")
            values |= zip(in_order, args, strict=False)
        for name, maker in makers:
            if name not in values:
                values[name] = maker()
        try:
            for name, put in slots:
                put(self, values[name])
        except KeyError as lacking:
            raise _misfit(made, f"lacks {lacking}") from None
        if len(values) > len(slots):
            raise _misfit(made, "is given what it does not know")
        if finish:
            finish(self)

    return init


def _misfit(made: Any, what: str) -> TypeError:
    names = ", ".join(part.name for part in dataclasses.fields(made))
    return TypeError(f"{made.__qualname__}({names}) {what}")


def _equality(made: Any) -> tuple[Callable[[Any, Any], bool], Callable[[Any], int]]:
    """Return `__eq__` and `__hash__`: those of the tuple of what is compared."""
    names = [part.name for part in dataclasses.fields(made) if part.compare]
    if len(names) > 1:
        compared: Callable[[Any], tuple[object, ...]] = attrgetter(*names)
    else:

        def compared(value: Any) -> tuple[object, ...]:
            return tuple(getattr(value, name) for name in names)

    def equal(self: Any, other: Any) -> Any:
        if other.__class__ is self.__class__:
            return compared(self) == compared(other)
        return NotImplemented

    def hashed(self: Any) -> int:
        return hash(compared(self))

    return equal, hashed


@recursive_repr()
def _repr(self: Any) -> str:
    shown = (part.name for part in dataclasses.fields(self) if part.repr)
    values = ", ".join(f"{name}={getattr(self, name)!r}" for name in shown)
    return f"{self.__class__.__qualname__}({values})"


def _refuse_to_set(self: object, name: str, value: object) -> NoReturn:
    message = f"cannot assign to field {name!r}"
    raise dataclasses.FrozenInstanceError(message)


def _refuse_to_delete(self: object, name: str) -> NoReturn:
    message = f"cannot delete field {name!r}"
    raise dataclasses.FrozenInstanceError(message)


def _state(self: Any) -> list[object]:
    return [getattr(self, part.name) for part in dataclasses.fields(self)]


def _restore(self: Any, state: Sequence[object]) -> None:
    for part, value in zip(dataclasses.fields(self), state, strict=True):
        object.__setattr__(self, part.name, value)
