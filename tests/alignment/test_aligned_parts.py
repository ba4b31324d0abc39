"""Aligned tokens part by part against those of all texts at once."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.alignment import aligned_tokens as module
from harness.alignment.aligned_parts import aligned_parts
from harness.alignment.aligned_tokens import aligned_tokens
from harness.alignment.head import MatrixReader
from harness.embedding.mapped_rows import write_rows


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_equal_bit_for_bit(tmp_path_factory, data):
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    count, k, size = data.draw(
        st.tuples(st.integers(1, 60), st.integers(1, 12), st.integers(1, 25))
    )
    embeddings = rng.standard_normal((count, 5)).astype(np.float32)
    copies = rng.random(count) < data.draw(st.sampled_from([0.0, 0.5, 0.95]))
    embeddings[copies] = embeddings[0]
    matrix = rng.standard_normal((10, 5)).astype(np.float32)
    matrix[rng.random(10) < 0.3] = 0
    head = MatrixReader(matrix, None)
    allowed = rng.random(10) < 0.8
    mapped = write_rows(tmp_path_factory.mktemp("rows") / "rows", [embeddings])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_BLOCK_BYTES", data.draw(st.integers(1, 600)))
        patch.setattr(module, "_BLOCK_TEXTS", data.draw(st.integers(1, 20)))
        patch.setattr(module, "_MANY_TEXTS", data.draw(st.sampled_from([1, 1000])))
        expected = aligned_tokens(head, embeddings, k, allowed=allowed)
        parts = list(aligned_parts(head, mapped, k, allowed=allowed, size=size))
    assert [len(part.ids) for part in parts] == [
        min(size, count - start) for start in range(0, count, size)
    ]
    np.testing.assert_array_equal(np.concatenate([part.ids for part in parts]), expected.ids)
    np.testing.assert_array_equal(
        np.concatenate([part.weights for part in parts]), expected.weights
    )


def test_few_texts_are_sorted_at_a_time(monkeypatch):
    seen = []
    top_k = module.top_k
    monkeypatch.setattr(module, "_BLOCK_TEXTS", 4)
    monkeypatch.setattr(module, "top_k", lambda *own: seen.append(len(own[0])) or top_k(*own))
    embeddings = np.random.default_rng(0).standard_normal((10, 3)).astype(np.float32)
    head = MatrixReader(np.eye(3, dtype=np.float32), None)
    found = aligned_tokens(head, embeddings, 1, allowed=np.ones(3, np.bool_))
    assert seen == [4, 4, 2]
    np.testing.assert_array_equal(found.ids[:, 0], embeddings.argmax(axis=1))
