"""What smaller formats of the store change in the scores of a real collection."""

import pytest

from tests.benchmarks.formats import change, scores, table

# Of an nDCG of 0.64; 300 queries, so that one whose best document falls a rank moves it by 0.001.
BOUNDS = {"float32": 0.0, "float16": 0.001, "bfloat16": 0.003, "int8": 0.005}

pytestmark = pytest.mark.slow


def test_scores_hardly_change(scifact, tmp_path):
    found = scores(scifact, tmp_path / "store")
    print(f"\n{table(found)}")
    assert len(found) == 12
    for one in found:
        assert abs(change(one, found)) <= BOUNDS[one.kind], one
    sizes = {one.kind: one.store_bytes for one in found}
    assert max(sizes["float16"], sizes["bfloat16"]) < 0.53 * sizes["float32"]
    assert sizes["int8"] < 0.29 * sizes["float32"]
