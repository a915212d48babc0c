"""What may be loaded when: start-up stays fast because heavy packages wait until they are used."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = {
    "apsw", "charset_normalizer", "httpx2", "numpy", "platformdirs", "rich",
    "semble_grammars", "tree_sitter", "yaml",
}  # fmt: skip


def loaded(code: str, *arguments: str, cwd: Path | None = None) -> set[str]:
    """Top-level packages in `sys.modules` after running some code in a new interpreter."""
    script = f"""
import json, sys
sys.argv = ["ragkit", *{list(arguments)!r}]
try:
    {code}
except SystemExit as ended:
    assert ended.code == 0, ended.code
print()
print(json.dumps(sorted({{name.partition(".")[0] for name in sys.modules}})))
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=cwd, check=True
    )
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_importing_ragkit_loads_nothing_third_party() -> None:
    assert not loaded("import ragkit") & (HEAVY | {"click"})


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["search", "--help"]])
def test_help_waits_for_no_heavy_package(arguments: list[str]) -> None:
    assert not loaded("from ragkit.cli import main; main()", *arguments) & HEAVY


def test_an_unconfigured_search_loads_no_parser_and_no_validation(project: Path) -> None:
    from ragkit import KnowledgeBase

    with KnowledgeBase.open(project) as kb:
        kb.index()
    got = loaded(
        "from ragkit.cli import main; main()", "search", "squirrel", str(project), "--no-refresh"
    )
    unwanted = HEAVY - {"apsw", "numpy", "platformdirs"}
    assert not got & unwanted


def test_every_public_name_can_be_imported() -> None:
    import ragkit

    for name in ragkit.__all__:
        assert getattr(ragkit, name) is not None
    with pytest.raises(AttributeError):
        ragkit.nothing  # noqa: B018
