"""Pages beside the leaderboard: which there are, what they leave out, what they leave alone."""

from harness.reporting.collect import collect
from harness.reporting.standings import standings
from harness.reporting.system_pages import write_system_pages
from tests.reporting.test_overall import SPARSE, result
from tests.reporting.written import DENSE


def pages_of(root, folder):
    faults = []
    found = standings(collect(root).entries, resamples=100)
    pages = write_system_pages(found, folder, faults)
    modes = {found.systems[number].row.mode: page for number, page in pages.items()}
    return modes, faults


def test_every_system_has_a_page_with_its_tasks(tmp_path):
    for task in "TU":
        result(tmp_path / "in", DENSE, task, [0.4, 0.8])
        result(tmp_path / "in", SPARSE, task, [0.2, 0.4])
    pages, faults = pages_of(tmp_path / "in", tmp_path)
    assert faults == []
    assert sorted(pages) == ["dense", "sparse"]
    text = (tmp_path / pages["sparse"]).read_text()
    assert 'id="T"' in text
    assert 'id="U"' in text
    assert "0.3000" in text
    assert "50.0 %" in text


def test_what_cannot_be_read_costs_no_other_task_and_no_other_system(tmp_path):
    for task in "TU":
        result(tmp_path / "in", DENSE, task, [0.4, 0.8])
        result(tmp_path / "in", SPARSE, task, [0.2, 0.4])
    for file in (tmp_path / "in").glob("*/*/experiments/dense-*/T/per_query.parquet"):
        file.write_bytes(b"PAR1")
    pages, faults = pages_of(tmp_path / "in", tmp_path)
    assert all("T/per_query.parquet" in fault for fault in faults)
    assert faults
    dense, sparse = ((tmp_path / pages[mode]).read_text() for mode in ("dense", "sparse"))
    assert 'id="T"' not in dense
    assert 'id="U"' in dense
    assert 'id="T"' in sparse


def test_pages_of_systems_that_are_no_more_go_and_others_stay(tmp_path):
    result(tmp_path / "in", DENSE, "T", [0.4, 0.8])
    result(tmp_path / "in", SPARSE, "T", [0.2, 0.4])
    before, _ = pages_of(tmp_path / "in", tmp_path)
    (tmp_path / "runs" / "notes.html").write_text("<p>mine")
    for path in (tmp_path / "in").glob("*/*/experiments/sparse-*/T.json"):
        path.unlink()
    after, _ = pages_of(tmp_path / "in", tmp_path)
    assert list(after) == ["dense"]
    assert (tmp_path / after["dense"]).exists()
    assert not (tmp_path / before["sparse"]).exists()
    assert (tmp_path / "runs" / "notes.html").read_text() == "<p>mine"
