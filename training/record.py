"""Write packages.tsv: what was harvested, pinned, with its licence. `fetch.py` downloads by it.

Usage: python training/record.py
"""

from __future__ import annotations

import json
from pathlib import Path

import archives
from places import ARCHIVES, HELD_OUT, HERE, PAIRS

COLUMNS = ("source", "name", "version", "licence", "use", "pairs")


def row(harvested: Path) -> tuple[str, ...] | None:
    first, *pairs = harvested.read_text("utf-8").split("\n")
    about = json.loads(first)
    archive = next(ARCHIVES.glob("*/" + harvested.name.removesuffix(".jsonl")))
    if len(pairs) < 2:  # not permissive, never to be used, or nothing found
        return None
    use = "measure" if about["package"] in HELD_OUT else "train"
    source = archive.parent.name.removesuffix("s")
    name = archives.published_name(archive)
    licence = about["licence"].replace("\t", " ")
    return source, name, about["version"], licence, use, str(len(pairs) - 1)


def main() -> None:
    rows = sorted(found for path in PAIRS.glob("*.jsonl") if (found := row(path)))
    lines = ["\t".join(columns) for columns in [COLUMNS, *rows]]
    (HERE / "packages.tsv").write_text("\n".join(lines) + "\n", "utf-8")
    print(f"{len(rows)} archives, {sum(int(r[-1]) for r in rows)} pairs")


if __name__ == "__main__":
    main()
