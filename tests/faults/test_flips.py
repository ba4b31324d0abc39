"""Bits that a disk has flipped, and files cut short: found, named, and never used."""

import random

import pyarrow as pa
import pytest

from harness.errors import BadInputError
from harness.evaluation.kept_texts import read_texts
from harness.evaluation.trec import read_scored
from tests.faults.runs import MODES, REPORT, finished, lasting

SEED = 7_033


@pytest.fixture
def run(zygote, undisturbed, tmp_path):
    """A finished run's folder."""
    zygote.finish(tmp_path / "run", undisturbed.command)
    return tmp_path / "run"


def damage(path, moments, cut):
    """Cut a file short or flip one of its bits, at a random place."""
    content = bytearray(path.read_bytes())
    place = moments.randrange(len(content))
    if path.suffix == ".arrow" and not cut:
        # There are gaps in such a file that nothing reads.
        with pa.memory_map(str(path)) as source:
            keys = pa.ipc.open_file(source).read_all().column("key").to_pylist()
        place = content.index(keys[0]) + moments.randrange(16)
    if cut:
        content = content[:place]
    else:
        content[place] ^= 1 << moments.randrange(8)
    path.unlink()  # it may be mapped by another process
    path.write_bytes(content)


def refused(zygote, folder, command):
    """The one line of a run that ends with status 2."""
    started = zygote.start(folder, command)
    assert started.wait() == 2, started.said()
    (line,) = [line for line in started.said().splitlines() if line.startswith("harness:")]
    assert "delete" in line
    return line


@pytest.mark.parametrize("cut", [True, False], ids=["cut", "flip"])
@pytest.mark.parametrize("pattern", ["*.json", pytest.param("*/cost.json", marks=pytest.mark.slow)])
def test_a_damaged_result(zygote, undisturbed, run, pattern, cut):
    """It is named; once it is deleted it alone is computed again, and equal."""
    moments = random.Random(SEED)
    for mode in moments.sample(MODES, 2):
        whole = finished(run)[mode]
        path = whole if pattern == "*.json" else whole.with_suffix("") / pattern[2:]
        damage(path, moments, cut)
        assert str(whole.relative_to(run)) in refused(zygote, run, undisturbed.command)
        whole.unlink()
        said = zygote.finish(run, undisturbed.command)
        assert "1 results computed, 3 kept; 0 texts encoded" in said
    assert lasting(run) == undisturbed.results


@pytest.mark.slow
@pytest.mark.parametrize("cut", [True, False], ids=["cut", "flip"])
def test_a_report_leaves_a_damaged_result_out(zygote, run, cut):
    path = finished(run)["dense"]
    damage(path, random.Random(SEED), cut)
    started = zygote.start(run, REPORT)
    assert started.wait() == 1
    said = " ".join(started.said().split())
    assert f"left out: {path.relative_to(run)}" in said
    assert "leaderboard of 3 results" in said


@pytest.mark.parametrize("cut", [True, False], ids=["cut", "flip"])
@pytest.mark.parametrize("suffix", ["safetensors", pytest.param("arrow", marks=pytest.mark.slow)])
def test_a_damaged_shard(zygote, undisturbed, run, suffix, cut):
    """It is named; once it is deleted its texts alone are encoded again."""
    shards = sorted((run / "store" / "embeddings").glob(f"*/shard-*.{suffix}"))
    moments = random.Random(SEED)
    path = moments.choice(shards)
    damage(path, moments, cut)
    (run / "results").rename(run / "before")
    assert str(path.relative_to(run).with_suffix("")) in refused(zygote, run, undisturbed.command)
    for end in ("arrow", "safetensors"):
        path.with_suffix(f".{end}").unlink()
    said = zygote.finish(run, undisturbed.command)
    encoded = int(said.split("computed, 0 kept; ")[1].split()[0])
    assert 1 <= encoded <= 4
    assert lasting(run) == undisturbed.results


@pytest.mark.parametrize("name", ["rankings", "qrels", "per_query", "texts"])
def test_a_flipped_bit_beside_a_result(run, name):
    """Rankings, judgements, values and texts are read as they were written, or refused by name."""
    details = finished(run)["dense"].with_suffix("")
    file = details / f"{name}.parquet"
    read = read_texts if name == "texts" else read_scored
    whole, content = read(details), file.read_bytes()
    moments, refusals = random.Random(SEED), 0
    for _ in range(200):
        damage(file, moments, cut=False)
        try:
            assert read(details) == whole
        except BadInputError as error:
            refusals += str(file) in str(error)
        file.unlink()
        file.write_bytes(content)
    assert refusals > 100
