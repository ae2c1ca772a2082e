"""Whether a document is what the language allows: a quick yes, or a no that needs explaining.

It says the same as the printed schema (`tests/test_spec_fits.py` tries both), but walks the
declared shapes themselves, and only those that the document comes to. To print the schema and
to import jsonschema takes longer than to read a mapping, so both wait for a document that is wrong.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from crmmap.declare import Limits
from crmmap.spec.schema import arguments_pattern
from crmmap.spec.shapes import (
    NULL,
    ChoiceShape,
    EitherShape,
    FlagShape,
    FreeShape,
    KindShape,
    ListShape,
    MapShape,
    NumberShape,
    ObjectShape,
    Shape,
    TextShape,
    WordsShape,
    attributes,
    bare,
    only,
)


def fits(value: object, shape: Shape) -> bool:  # noqa: PLR0911  (one line per shape)
    """Say whether a plain value is what the schema of a shape asks for."""
    match shape:
        case TextShape():
            return _text(value, shape.limits)
        case NumberShape():
            return _number(value, shape)
        case FlagShape():
            return isinstance(value, bool)
        case ChoiceShape():
            return _choice(value, shape)
        case FreeShape():
            return True
        case ListShape():
            return _list(value, shape)
        case MapShape():
            return isinstance(value, dict) and all(
                _text(key, shape.key.limits) and fits(each, shape.value)
                for key, each in value.items()
            )
        case ObjectShape():
            return _object(value, shape)
        case EitherShape():
            return fits(value, shape.words if isinstance(value, str) else shape.other)
        case KindShape():
            return _kind(value, shape)
        case WordsShape():
            return _words(value, shape)


def _text(value: object, limits: Limits) -> bool:
    if not isinstance(value, str) or len(value) < (limits.min_length or 0):
        return False
    return limits.pattern is None or re.search(limits.pattern, value) is not None


def _number(value: object, shape: NumberShape) -> bool:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    if shape.whole and isinstance(value, float) and not value.is_integer():
        return False
    least, most = shape.limits.minimum, shape.limits.maximum
    return not (least is not None and value < least) and not (most is not None and value > most)


def _choice(value: object, shape: ChoiceShape) -> bool:
    if value is None:
        return NULL in shape.values
    return not isinstance(value, bool) and value in shape.values


def _list(value: object, shape: ListShape) -> bool:
    if not isinstance(value, list):
        return shape.single and fits(value, shape.item)
    return len(value) >= (shape.limits.min_items or 0) and all(
        fits(each, shape.item) for each in value
    )


def _object(value: object, shape: ObjectShape) -> bool:
    short = None
    if isinstance(value, str):
        short = shape.shorthand
    elif isinstance(value, int | float) and not isinstance(value, bool):
        short = shape.number
    if short is None:
        return holds(value, shape.made)
    return any(fits(value, each.shape) for each in attributes(shape.made) if each.name == short)


def holds(value: object, made: type, *, given: Sequence[str] = ()) -> bool:
    """Say whether an object has the words of a declaring dataclass, beside those `given`."""
    if not isinstance(value, dict):
        return False
    own = {each.word: each for each in attributes(made)}
    return all(
        name in given or (name in own and fits(each, own[name].shape))
        for name, each in value.items()
    ) and all(each.word in value for each in own.values() if each.required)


def _kind(value: object, shape: KindShape) -> bool:
    if isinstance(value, str):
        return _bare_kind(value, shape)
    if not isinstance(value, dict) or not isinstance(kind := value.get("kind"), str):
        return False
    return kind in shape.table and holds(value, shape.table[kind], given=("kind",))


def _bare_kind(value: str, shape: KindShape) -> bool:
    """Say whether a text stands for a kind: `phone`, `decimal(14,2)`."""
    made = shape.table.get(value)
    if made is not None and bare(made):
        return True
    patterns = (arguments_pattern(token, each) for token, each in shape.table.items())
    return any(pattern is not None and re.search(pattern, value) for pattern in patterns)


def _words(value: object, shape: WordsShape) -> bool:
    if not shape.as_list:
        return _steps(value, shape) >= 1
    return isinstance(value, list) and all(
        each in shape.table and bare(shape.table[each])
        if isinstance(each, str)
        else _steps(each, shape) == 1
        for each in value
    )


def _steps(value: object, shape: WordsShape) -> int:
    """Return how many steps an object holds; none if one of them is not what it should be."""
    if not isinstance(value, dict):
        return 0
    good = all(
        token in shape.table and _step(each, shape.table[token]) for token, each in value.items()
    )
    return len(value) if good else 0


def _step(value: object, made: type) -> bool:
    if not attributes(made):
        return value is True
    single = only(made)
    return holds(value, made) if single is None else fits(value, single.shape)
