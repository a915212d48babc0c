"""Sign bits: their number can be chosen, and vectors that are alike agree in most of them."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ragkit.stores import signs


@pytest.mark.parametrize("dimensions", [3, 64, 100, 256, 384, 768, 1024, 4096])
@pytest.mark.parametrize("sums", [0, 8, 768, 960, 1920])
def test_a_row_has_as_many_signs_as_are_asked_for(dimensions: int, sums: int) -> None:
    rows = np.random.default_rng(1).standard_normal((5, dimensions)).astype(np.float32)
    octets = signs.octets(rows, sums)
    values = signs.values(rows, sums)
    assert values.shape == (5, sums or dimensions)
    assert octets.shape == (5, signs.octets_of(dimensions, sums))
    bits = signs.unpacked(octets)
    assert bits.shape == (5, 8 * octets.shape[1])
    assert np.array_equal(bits[:, : values.shape[1]], values > 0)
    assert not bits[:, values.shape[1] :].any()


@given(
    angle=st.floats(0.05, 3.09),
    seed=st.integers(0, 1_000),
    dimensions=st.sampled_from([128, 256, 384, 768]),
)
@settings(max_examples=60, deadline=None)
def test_the_share_of_signs_that_differ_tells_the_angle(
    angle: float, seed: int, dimensions: int
) -> None:
    chance = np.random.default_rng(seed)
    one, other = np.linalg.qr(chance.standard_normal((dimensions, 2)))[0].T
    pair = np.stack((one, np.cos(angle) * one + np.sin(angle) * other)).astype(np.float32)
    bits = signs.unpacked(signs.octets(pair, 1_920))
    share = np.mean(bits[0] != bits[1])
    assert share == pytest.approx(angle / np.pi, abs=0.08)


@pytest.mark.parametrize("dimensions", [256, 384, 768])
def test_sums_keep_inner_products(dimensions: int) -> None:
    # whole blocks are orthogonal: products are kept exactly, up to one factor
    size = 1 << (dimensions - 1).bit_length()
    rows = np.random.default_rng(2).standard_normal((6, dimensions)).astype(np.float32)
    values = signs.values(rows, 2 * size)
    assert np.allclose(values @ values.T / (2 * size), rows @ rows.T, atol=1e-3 * dimensions**0.5)


def test_a_single_large_value_reaches_every_sum() -> None:
    one = np.zeros((1, 256), np.float32)
    one[0, 17] = 1
    assert set(np.abs(signs.values(one, 768)).ravel()) == {1.0}


def test_signs_are_made_today_as_they_were_when_files_were_written() -> None:
    rows = (np.arange(2 * 256) % 7 - 3).reshape(2, 256).astype(np.float32)
    digest = hashlib.sha256(signs.octets(rows, 768).tobytes()).hexdigest()
    assert digest == "83feb0e38e4dc0ca59508a69312658ce683b27f2235b112d24482f732ffffd44"
