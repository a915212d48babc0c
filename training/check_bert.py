"""Compare the token ids of `bert` in the package with those of the `tokenizers` package.

The texts are pieces of the standard library and of this repository, 40 random characters of every
corner of Unicode, and the golden texts of the tests. Exits with 1 where an id differs; characters
that Unicode got later than that package's tables (2016) are left out.

Usage: python training/check_bert.py [--write]   (--write: golden ids for the tests)
"""

from __future__ import annotations

import json
import random
import sys
import sysconfig
import unicodedata
from collections.abc import Iterator
from pathlib import Path

from places import HERE
from tokenizers import Tokenizer

from ragkit.models.embedded import bert, weights

GOLDEN = HERE.parent / "tests" / "fixtures" / "bert.jsonl"
FOLDERS = (Path(sysconfig.get_paths()["stdlib"]), HERE.parent)


def main() -> None:
    path = weights.find(notice=print).tokenizer
    reference = Tokenizer.from_file(str(path))
    reference.no_padding()
    reference.no_truncation()
    ours = bert.read(path)
    golden = [json.loads(line)["text"] for line in GOLDEN.read_text("utf-8").splitlines()]
    chance = random.Random(0)
    characters = known(reference)
    texts = [*golden, *pieces_of_files(chance), *corners(characters, chance)]
    different = [
        text
        for text in texts
        if ours.ids(text) != reference.encode(text, add_special_tokens=False).ids
    ]
    print(f"{len(texts):,} texts, {len(different)} with other ids")
    for text in different[:10]:
        print(f"  {text[:70]!r}")
    if "--write" in sys.argv:
        write(golden, reference)
    sys.exit(bool(different))


def known(reference: Tokenizer) -> list[str]:
    """All characters that the reference and Python's own tables put into the same class."""
    return [
        char
        for char in map(chr, (*range(0xD800), *range(0xE000, 0x30000)))
        if unicodedata.category(char) != "Cn"
        and f"a{char.translate(bert.Forms())}b".split()
        == [
            word
            for word, _ in reference.pre_tokenizer.pre_tokenize_str(
                reference.normalizer.normalize_str(f"a{char}b")
            )
        ]
    ]


def corners(characters: list[str], chance: random.Random) -> Iterator[str]:
    for start in range(0, len(characters), 16):
        near = characters[start : start + 64]
        yield "".join(chance.choice([*near, " "]) for _ in range(40))


def pieces_of_files(chance: random.Random) -> Iterator[str]:
    files = [file for folder in FOLDERS for file in folder.rglob("*.[pm][yd]")]
    for file in chance.sample(sorted(files), min(1500, len(files))):
        text = file.read_text("utf-8", errors="replace")
        start = chance.randrange(len(text) + 1)
        yield text[start : start + chance.choice([30, 300, 2000])]


def write(golden: list[str], reference: Tokenizer) -> None:
    with GOLDEN.open("w", encoding="utf-8", newline="\n") as file:
        for text in golden:
            ids = reference.encode(text, add_special_tokens=False).ids
            file.write(json.dumps({"text": text, "ids": ids}) + "\n")


if __name__ == "__main__":
    main()
