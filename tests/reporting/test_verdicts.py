from harness.reporting.boards import boards
from harness.reporting.collect import collect
from harness.reporting.standings import standings
from harness.reporting.verdicts import print_verdicts
from tests.reporting.test_overall import SPARSE, result
from tests.reporting.written import DENSE


def printed(root, capsys, **given):
    found = standings(collect(root).entries, **given)
    print_verdicts(found, boards(found))
    return capsys.readouterr().out


def test_shares_by_task_and_over_tasks(tmp_path, capsys):
    """T keeps 50 %, U 80 %: 65 % in the mean."""
    result(tmp_path, DENSE, "T", [0.4, 0.8])
    result(tmp_path, SPARSE, "T", [0.2, 0.4])
    result(tmp_path, DENSE, "U", [0.5, 0.5, 0.5])
    result(tmp_path, SPARSE, "U", [0.4, 0.4, 0.4])
    lines = [line.split() for line in printed(tmp_path, capsys, threshold=0.7).splitlines()]
    assert " ".join(lines[0]) == "of dense of the same model; to be reached: 70.0 %"
    rows = [" ".join(line) for line in lines if "sparse" in line]
    assert [row.rsplit(" ", 2)[0] for row in rows] == [
        "T sparse 50.0 % [50.0, 50.0] not reached",
        "U sparse 80.0 % [80.0, 80.0] reached",
        "mean of 2 tasks sparse 65.0 % [65.0, 65.0] not reached",
    ]
    assert [row.rsplit(" ", 1)[1] for row in rows] == ["0/0/2", "0/0/3", "0/0/5"]


def test_many_lines_are_left_to_the_page(tmp_path, capsys):
    for number in range(41):
        result(tmp_path, DENSE, f"T{number:02}", [0.4, 0.8])
        result(tmp_path, SPARSE, f"T{number:02}", [0.2, 0.4])
    out = printed(tmp_path, capsys, resamples=100)
    assert "mean of 41 tasks" in out
    assert "T00" not in out


def test_without_dense_nothing_is_printed(tmp_path, capsys):
    result(tmp_path, SPARSE, "T", [0.2, 0.4])
    assert printed(tmp_path, capsys) == ""


def test_hostile_names_are_printed_as_text(tmp_path, capsys):
    result(tmp_path, DENSE, "T", [0.4, 0.8], model="org/[red]\x1b[31m")
    result(tmp_path, SPARSE, "T", [0.2, 0.4], model="org/[red]\x1b[31m")
    result(tmp_path, DENSE, "T", [0.4, 0.8])
    result(tmp_path, SPARSE, "T", [0.2, 0.4])
    out = printed(tmp_path, capsys)
    assert "\x1b" not in out
    assert "  [red]\\x1b[31m" in out


def test_models_are_named_without_their_owners_where_they_differ_without(tmp_path, capsys):
    for model in ("a/one", "a/two"):
        result(tmp_path, DENSE, "T", [0.4, 0.8], model=model)
        result(tmp_path, SPARSE, "T", [0.2, 0.4], model=model)
    assert {"one", "two"} <= set(printed(tmp_path, capsys).split())
    result(tmp_path, DENSE, "T", [0.4, 0.8], model="b/one")
    result(tmp_path, SPARSE, "T", [0.2, 0.4], model="b/one")
    assert {"a/one", "a/two", "b/one"} <= set(printed(tmp_path, capsys).split())
