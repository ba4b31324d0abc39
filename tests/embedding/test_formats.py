"""Formats of embeddings, by hand and by the bounds of their rounding."""

import numpy as np
import pytest
import torch

from harness.embedding.formats import FORMATS, Encoded, decode, encode, kept_as
from harness.errors import BadInputError


def round_trip(rows, kind):
    return decode(encode(np.asarray(rows, np.float32), kind), kind)


def test_int8_by_hand():
    encoded = encode(np.array([[254, -127, 1, 0.9], [0, 0, 0, 0]], np.float32), "int8")
    assert encoded.entries.tolist() == [[127, -64, 0, 0], [0, 0, 0, 0]]  # halves go to even
    assert encoded.scales.tolist() == [2, 0]
    assert decode(encoded, "int8").tolist() == [[254, -128, 0, 0], [0, 0, 0, 0]]


def test_halves_by_hand():
    rows = [[1.0, 1.0009765625, 1.0078125, 1.001, 3e38]]
    assert round_trip(rows, "bfloat16")[0, :4].tolist() == [1, 1, 1.0078125, 1]
    assert round_trip([row[:4] for row in rows], "float16")[0].tolist() == [
        1,
        1.0009765625,
        1.0078125,
        1.0009765625,
    ]


@pytest.mark.parametrize("kind", FORMATS)
def test_what_is_read_again_is_the_same(kind):
    """A format's own values lose nothing when they are written again."""
    rows = np.random.default_rng(0).standard_normal((50, 33)).astype(np.float32)
    once = round_trip(rows, kind)
    assert once.dtype == np.float32
    np.testing.assert_allclose(round_trip(once, kind), once, rtol=1e-6, atol=0)


def test_halves_equal_torch():
    rows = np.random.default_rng(1).lognormal(0, 3, (40, 17)).astype(np.float32)
    for kind in ("float16", "bfloat16"):
        theirs = torch.from_numpy(rows).to(getattr(torch, kind)).to(torch.float32).numpy()
        np.testing.assert_array_equal(round_trip(rows, kind), theirs)


def test_int8_is_at_most_half_a_step_off():
    rows = np.random.default_rng(2).standard_normal((100, 64)).astype(np.float32)
    steps = np.abs(rows).max(axis=1, keepdims=True) / 127
    assert (np.abs(round_trip(rows, "int8") - rows) <= steps * 0.5001).all()


@pytest.mark.parametrize("kind", FORMATS)
def test_entries_take_so_many_bytes(kind):
    encoded = encode(np.ones((3, 5), np.float32), kind)
    assert encoded.entries.dtype == kept_as(kind)
    assert encoded.entries.nbytes == 15 * FORMATS[kind]
    assert (encoded.scales is not None) == (kind == "int8")


def test_no_rows():
    for kind in FORMATS:
        assert decode(encode(np.zeros((0, 4), np.float32), kind), kind).shape == (0, 4)


def test_float32_is_not_copied():
    rows = np.ones((2, 2), np.float32)
    assert np.shares_memory(decode(Encoded(rows, None), "float32"), rows)


def test_float16_refuses_what_it_cannot_hold():
    with pytest.raises(BadInputError, match="use bfloat16"):
        encode(np.array([[7e4]], np.float32), "float16")
