"""Fit the table to the pairs: a query must be nearer to its passage than to others of its package.

The rows start from `vocabulary.py`. Each batch holds runs of one package's pairs, so that most of
the wrong answers that a query is compared with are near misses; the loss is the symmetric softmax
over the batch (InfoNCE).

Usage: python training/fit.py [--out TABLE] [--epochs N] [--seed N] …
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from itertools import chain
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from pairs import Pairs, load
from places import WORK
from table import write

from ragkit.models.embedded.wordpiece import WordPiece

CROP = 1200  # characters, about a chunk
SHARES = {"section": 1.0, "sentence": 1.0, "comment": 1 / 6}
"""Of each kind's pairs, the share that an epoch takes, by chance; of the other kinds a third.

Prose is rare in packages and half of what people search; comments are many and the least clean."""


class Bags:
    """Token ids and word counts of many texts, in two flat arrays."""

    def __init__(self, tokeniser: WordPiece, texts: Sequence[str]) -> None:
        ids: list[NDArray[np.int32]] = []
        counts: list[NDArray[np.int16]] = []
        for text in texts:
            pieces, times = tokeniser.counts(text)
            ids.append(np.array(list(chain.from_iterable(pieces)), np.int32))
            counts.append(np.repeat(np.array(times, np.int16), list(map(len, pieces))))
        self.starts = np.concatenate([[0], np.cumsum([len(i) for i in ids])])
        self.ids = np.concatenate(ids)
        self.counts = np.concatenate(counts)

    def take(
        self, chosen: NDArray[np.int64], dropped: float, rng: np.random.Generator
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Positions into the flat arrays of the chosen texts, and where each text begins.

        A share `dropped` of each text's words is left out, by chance.
        """
        begins, ends = self.starts[chosen], self.starts[chosen + 1]
        lengths = ends - begins
        offsets = np.cumsum(lengths) - lengths
        places = np.arange(lengths.sum()) + np.repeat(begins - offsets, lengths)
        kept = rng.random(len(places)) >= dropped
        kept_before = np.concatenate([[0], np.cumsum(kept)])
        return places[kept], kept_before[offsets]


class Table(torch.nn.Module):
    """Rows, and a weight of each row for documents and for queries."""

    def __init__(self, rows: NDArray[np.float32], damping: float) -> None:
        super().__init__()
        scale = np.linalg.norm(rows, axis=1)
        unit = rows / np.maximum(scale, 1e-9)[:, None]
        start = np.log(np.maximum(scale / scale.mean(), 1e-3))
        self.rows = torch.nn.Parameter(torch.from_numpy(unit.astype(np.float32)))
        self.document = torch.nn.Parameter(torch.from_numpy(start.astype(np.float32)))
        self.query = torch.nn.Parameter(torch.zeros(len(rows)))
        self.damping = damping

    def embed(
        self, bags: Bags, chosen: NDArray[np.int64], *, query: bool, dropped: float, rng
    ) -> torch.Tensor:
        places, offsets = bags.take(chosen, dropped, rng)
        ids = torch.from_numpy(bags.ids[places].astype(np.int64))
        counts = torch.from_numpy(bags.counts[places].astype(np.float32))
        weights = (self.document + self.query if query else self.document).exp()
        summed = F.embedding_bag(
            ids,
            self.rows,
            torch.from_numpy(offsets),
            mode="sum",
            per_sample_weights=counts**self.damping * weights.index_select(0, ids),
        )
        return F.normalize(summed, dim=1)

    def finished(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        rows = self.rows * self.document.exp()[:, None]
        return rows.detach().numpy(), self.query.exp().detach().numpy()


def batches(pairs: Pairs, size: int, run: int, rng: np.random.Generator) -> list[NDArray[np.int64]]:
    """A sample by `SHARES`: runs of `run` pairs of one package, the runs shuffled into batches."""
    by_package: dict[str, list[int]] = {}
    for i, (package, kind) in enumerate(zip(pairs.packages, pairs.kinds, strict=True)):
        if rng.random() < SHARES.get(kind, 1 / 3):
            by_package.setdefault(package, []).append(i)
    runs = []
    for indices in by_package.values():
        order = rng.permutation(indices)
        runs += [order[i : i + run] for i in range(0, len(order), run)]
    rng.shuffle(runs)
    flat = np.concatenate(runs)
    return [flat[i : i + size] for i in range(0, len(flat) - size + 1, size)]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, default=WORK / "fitted.table")
    parser.add_argument("--epochs", type=int, default=24)
    parser.add_argument("--batch", type=int, default=2048, help="pairs")
    parser.add_argument("--run", type=int, default=64, help="pairs of one package side by side")
    parser.add_argument("--rate", type=float, default=3e-3)
    parser.add_argument("--temperature", type=float, default=0.05)
    parser.add_argument("--damping", type=float, default=0.5)
    parser.add_argument("--dropped", type=float, default=0.2, help="share of words left out")
    parser.add_argument("--seed", type=int, default=0)
    fit(parser.parse_args())


def fit(asked: argparse.Namespace) -> None:
    torch.set_num_threads(1)
    rng = np.random.default_rng(asked.seed)
    vocabulary = json.loads((WORK / "vocabulary.json").read_text())
    tokeniser = WordPiece(vocabulary["whole"], vocabulary["continuing"])
    pairs = load(held_out=False)
    queries = Bags(tokeniser, pairs.queries)
    passages = Bags(tokeniser, [passage[:CROP] for passage in pairs.passages])
    table = Table(np.load(WORK / "start.npz")["rows"], asked.damping)
    weights = [table.document, table.query]
    groups = [
        {"params": [table.rows], "lr": asked.rate},
        {"params": weights, "lr": 5 * asked.rate},  # one number a token: seen less, moved faster
    ]
    optimiser = torch.optim.Adam(groups, betas=(0.9, 0.99), fused=True)
    expected = sum(SHARES.get(kind, 1 / 3) for kind in pairs.kinds)
    total = int(asked.epochs * expected / asked.batch)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda step: min(1, (step + 1) / 50) * max(0.01, 1 - step / total)
    )
    print(f"{len(pairs.queries)} pairs, {total} steps", flush=True)
    began = time.time()
    for epoch in range(asked.epochs):
        losses = []
        for chosen in batches(pairs, asked.batch, asked.run, rng):
            q = table.embed(queries, chosen, query=True, dropped=asked.dropped, rng=rng)
            d = table.embed(passages, chosen, query=False, dropped=asked.dropped, rng=rng)
            scores = q @ d.T / asked.temperature
            right = torch.arange(len(chosen))
            loss = (F.cross_entropy(scores, right) + F.cross_entropy(scores.T, right)) / 2
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            losses.append(loss.item())
        print(f"epoch {epoch} loss {np.mean(losses):.3f} {time.time() - began:.0f}s", flush=True)
        rows, query_weights = table.finished()
        pieces = vocabulary["whole"], vocabulary["continuing"]
        write(asked.out, *pieces, rows, query_weights, damping=asked.damping)


if __name__ == "__main__":
    main()
