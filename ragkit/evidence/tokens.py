"""How many tokens a text may have, without anybody's tokeniser.

Tokenisers differ, and which one will read is not known, so this counts what all of them split at:
words and the letters of long ones, digits, signs, line breaks, and characters of other scripts,
each with a weight that is a little too high. Measured on 1,268 chunks of some 1,500 characters
(code in five languages, configuration, documentation; messages in ten languages) against the
largest count of five byte-pair vocabularies (cl100k, o200k, Qwen, DeepSeek, Claude 2): it is at
least that for 98 % of the chunks; for 99 % it lacks at most 1 %, and 15 % for the worst. Half of
the counts are below 90 % of it. Of 486 packs of 500 to 8,000 tokens none had more than its estimate
in any of the five; most had three quarters.
"""

from __future__ import annotations

import re
from typing import Final

# A word ends where a capital begins, as in `getUserName`; a single space belongs to what follows.
_PARTS: Final = re.compile(
    r"([A-Z]?[a-z]+)|([A-Z]+)|([0-9]+)|(\n)|([^\S\n]{2,})|([!-/:-@\[-`{-~]+)|([^\x00-\x7f])"
)
_FOREIGN: Final = 7
_FIRST: Final = (0.0, 0.85, 1.7, 1.15, 1.13, 0.56, 1.08)
"""Weight of a part, or of its beginning: word, capitals, digits, line break, indentation, signs."""
_MORE: Final = (0.0, 0.62, 0.3, 1.15, 0.0, 0.0, 0.27)
"""Weight of each character behind the beginning."""
_BEGINNING: Final = (0, 6, 8, 1, 1, 0, 1)
"""Characters."""
_OTHER: Final = (
    (0x0370, 2.1),  # accented Latin
    (0x0400, 1.35),  # Greek
    (0x0530, 0.57),  # Cyrillic
    (0x0E00, 1.35),
    (0x0E80, 1.85),  # Thai
    (0x1E00, 1.35),
    (0x2070, 2.1),  # Vietnamese, typographic signs
    (0x3000, 1.35),
    (0x3100, 1.03),  # kana
    (0x3400, 1.35),
    (0xA000, 1.03),  # Han
    (0xFF00, 1.35),  # Hangul among them
    (0xFFF0, 1.03),  # full-width forms
    (0x110000, 3.0),  # emoji, and Han that is rare
)
"""Weight of a character up to a code point; most vocabularies spell what they do not know."""


def tokens_of(text: str) -> float:
    """Tokens that `text` has in most tokenisers, or some more. That of a text is the sum over its
    lines, their breaks included."""
    total = 0.0
    for part in _PARTS.finditer(text):
        kind = part.lastindex or 0
        if kind == _FOREIGN:
            code = ord(part.group())
            total += next(weight for end, weight in _OTHER if code < end)
        else:
            further = part.end() - part.start() - _BEGINNING[kind]
            total += _FIRST[kind] + _MORE[kind] * max(further, 0)
    return total
