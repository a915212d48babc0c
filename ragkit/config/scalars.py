"""What a scalar of a YAML file means, once the type that is expected of it is known."""

from __future__ import annotations

import math
import re
from typing import Final

from ragkit.config.document import Mapping, Node, Scalar, Sequence

_WHOLE = re.compile(r"[-+]?(0|[1-9][0-9_]{0,999})(\.0*)?")
_NUMBER = re.compile(r"[-+]?(\.[0-9]+|[0-9][0-9_]*(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_DURATION = re.compile(r"(?:([0-9.]+)h)?(?:([0-9.]+)m)?(?:([0-9.]+)s)?(?:([0-9.]+)ms)?", re.ASCII)
_SECONDS: Final = (3600.0, 60.0, 1.0, 0.001)
_BOOLEANS: Final = {"true": True, "True": True, "TRUE": True}
_BOOLEANS.update({"false": False, "False": False, "FALSE": False})


def whole(scalar: Scalar) -> int | None:
    """An integer, also one written as `20.0`; None for anything else, `010` and `"20"` too."""
    if not scalar.plain or not _WHOLE.fullmatch(scalar.text):
        return None
    return int(scalar.text.partition(".")[0])


def number(scalar: Scalar) -> float | None:
    """A finite number; None for anything else."""
    if not scalar.plain or not _NUMBER.fullmatch(scalar.text):
        return None
    value = float(scalar.text)
    return value if math.isfinite(value) else None


def boolean(scalar: Scalar) -> bool | None:
    """`true` or `false`; None for all else, `yes` and `off` too: YAML 1.2 has them as texts."""
    return _BOOLEANS.get(scalar.text) if scalar.plain else None


def duration(scalar: Scalar) -> float | None:
    """Seconds of `90`, `30m`, `1m30s` or `1.5h`; None for anything else."""
    if (seconds := number(scalar)) is not None:
        return seconds
    matched = _DURATION.fullmatch(scalar.text)
    if not scalar.text or not matched:
        return None
    try:
        parts = [float(part) if part else 0.0 for part in matched.groups()]
    except ValueError:  # 1.2.3s
        return None
    return sum(part * unit for part, unit in zip(parts, _SECONDS, strict=True))


def guessed(node: Node) -> object:
    """Plain data where nothing is known of the type: JSON's types, by YAML 1.2's core rules."""
    if isinstance(node, Mapping):
        return {key: guessed(value) for key, (_, value) in node.items.items()}
    if isinstance(node, Sequence):
        return [guessed(item) for item in node.items]
    if node.is_null:
        return None
    for read in (boolean, whole, number):
        value = read(node)
        if value is not None:
            return int(value) if read is whole and "." not in node.text else value
    return node.text


def shown(node: Node) -> str:
    """The node in an error message, in a few words."""
    if isinstance(node, Mapping):
        return "a mapping"
    if isinstance(node, Sequence):
        return "a list"
    if node.is_null:
        return "nothing"
    text = node.text if len(node.text) <= 40 else node.text[:39] + "…"
    return text if node.plain else f'the text "{text}"'
