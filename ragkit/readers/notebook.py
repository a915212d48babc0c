"""Jupyter notebooks: their cells as Markdown, without outputs."""

from __future__ import annotations

import json
import re
from typing import Any

from ragkit.errors import ReadError
from ragkit.readers import text


def decode(path: str, data: bytes) -> str:
    """The notebook as Markdown: prose as it is, code cells as fences, a blank line between cells.

    Markdown, so that the headings of the prose are the context of the code under them. Lines are
    those of this text, not of the JSON. Outputs are left out. Raises ReadError.
    """
    try:
        notebook = json.loads(text.decode(path, data))
    except (ValueError, RecursionError) as error:
        raise _broken(path, str(error)) from error
    if not isinstance(notebook, dict):
        raise _broken(path, "no JSON object")
    cells = _cells(notebook)
    if cells is None:
        raise _broken(path, "it has no list of cells")
    language = _language(notebook)
    parts = [_cell(cell, language) for cell in cells if isinstance(cell, dict)]
    return "\n\n".join(part for part in parts if part)


def _broken(path: str, what: str) -> ReadError:
    return ReadError(
        f"{path}: not a notebook: {what}",
        remedy="save it again from Jupyter, or ignore it in .ragkitignore",
    )


def _cells(notebook: dict[str, Any]) -> list[Any] | None:
    """Its cells; before format 4 they lay in worksheets."""
    sheets = notebook.get("worksheets")
    if isinstance(sheets, list):
        held = [sheet.get("cells") for sheet in sheets if isinstance(sheet, dict)]
        return [cell for cells in held if isinstance(cells, list) for cell in cells]
    cells = notebook.get("cells")
    return cells if isinstance(cells, list) else None


def _language(notebook: dict[str, Any]) -> str:
    """What its code is written in; "python" where it does not say."""
    metadata = notebook.get("metadata")
    for section, key in (("language_info", "name"), ("kernelspec", "language")):
        about = metadata.get(section) if isinstance(metadata, dict) else None
        name = about.get(key) if isinstance(about, dict) else None
        if isinstance(name, str) and re.fullmatch(r"[\w+#.-]+", name):
            return name.lower()
    return "python"


def _cell(cell: dict[str, Any], language: str) -> str:
    source = cell.get("source", cell.get("input", ""))
    if isinstance(source, list):
        source = "".join(line for line in source if isinstance(line, str))
    if not isinstance(source, str) or not source.strip():
        return ""
    body = source.replace("\r\n", "\n").replace("\r", "\n").strip("\n")
    if cell.get("cell_type") == "code":
        # a fence longer than any in the code, which may well write Markdown itself
        longest = max((len(run) for run in re.findall("`{3,}", body)), default=2)
        fence = "`" * (longest + 1)
        return f"{fence}{language}\n{body}\n{fence}"
    if cell.get("cell_type") == "heading":  # format 3
        level = cell.get("level")
        return f"{'#' * min(max(level, 1), 6) if isinstance(level, int) else '#'} {body}"
    return body
