"""Compare `wordpiece` of the package with the reference WordPiece of the `tokenizers` package.

What is compared is the covering of words by pieces, over the same words and the table's own
vocabulary; which words a text has is ragkit's own rule. Exits with 1 where an id differs.

Usage: python training/check_tokeniser.py [TABLE]
"""

from __future__ import annotations

import sys
from pathlib import Path

from evaluate import standard_library
from pairs import load
from places import TABLE
from tokenizers import Tokenizer
from tokenizers.models import WordPiece as Reference
from tokenizers.pre_tokenizers import WhitespaceSplit

from ragkit.models.embedded import StaticEmbedder
from ragkit.models.embedded.wordpiece import WordPiece, runs, words


def vocabulary(table: Path) -> tuple[list[str], list[str]]:
    header = StaticEmbedder(table).header
    tail = table.read_bytes()[-header.vocabulary_bytes :].decode()
    pieces = tail.split("\n")
    return pieces[: header.whole], pieces[header.whole :]


def main() -> None:
    whole, continuing = vocabulary(Path(sys.argv[1]) if sys.argv[1:] else TABLE)
    names = [*whole, *("##" + piece for piece in continuing), "[UNK]"]
    reference = Tokenizer(
        Reference(
            {name: i for i, name in enumerate(names)},
            unk_token="[UNK]",
            max_input_chars_per_word=100,
        )
    )
    reference.pre_tokenizer = WhitespaceSplit()
    ours = WordPiece(whole, continuing)
    held = load(held_out=True)
    texts = [*held.queries[:3000], *held.passages[:3000], *standard_library()[1]]
    texts += ["Поиск по-русски 東京2024年 Ünïcode straße ﬁle x²+y³ ٣٤ नमस्ते 한국어 " + "ab" * 60]
    different = 0
    for text in texts:
        split = [word for run in runs(text) for word in words(run)]
        expected = [i for i in reference.encode(" ".join(split)).ids if i != len(names) - 1]
        found = [i for run in runs(text) for i in ours.ids(run)]
        different += found != expected
    print(f"{len(texts)} texts, {different} with other ids")
    sys.exit(different > 0)


if __name__ == "__main__":
    main()
