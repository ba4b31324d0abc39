import pytest

from harness.regression.check import Check, Verdict
from harness.regression.snapshot import System
from harness.regression.words import (
    alarm_line,
    allowed,
    change,
    figure_name,
    p_text,
    summary,
    tables,
    values,
)


def check(kind="quality", figure="ndcg_at_10", before=0.5, now=0.49, **more):
    more = {"verdict": Verdict.REGRESSION, "place": "test/default"} | more
    more.setdefault("system", System("toy", "org/model", "dense"))
    return Check(kind=kind, figure=figure, baseline=before, value=now, **more)


@pytest.mark.parametrize(
    ("made", "name", "both", "moved"),
    [
        (check(), "nDCG@10", ("0.5000", "0.4900"), "-0.0100"),
        (check(before=0.5, now=0.49999), "nDCG@10", ("0.5", "0.49999"), "-1e-05"),
        (check(figure="accuracy"), "accuracy", ("0.5000", "0.4900"), "-0.0100"),
        (check(now=None), "nDCG@10", ("0.5000", "-"), "-"),
        (
            check("cost", "index_bytes", 317944, 317945),
            "index bytes",
            ("317,944", "317,945"),
            "+0.0003 %",
        ),
        (
            check("cost", "query_flops", 1298.792, 1428.5),
            "FLOPs/query",
            ("1,298.79", "1,428.50"),
            "+10.0 %",
        ),
        (
            check("cost", "splade_flops", 2.70612, 2.70613),
            "SPLADE FLOPS",
            ("2.70612", "2.70613"),
            "+0.0004 %",
        ),
        (check("cost", "corpus_flops", 0.0, 5.0), "corpus FLOPs", ("0", "5"), "from 0"),
        (check("cost", "corpus_flops", 0.0, 0.0), "corpus FLOPs", ("0", "0"), "0"),
        (
            check("time", "latency", 0.00694, 0.0139),
            "median ms/query",
            ("6.94", "13.9"),
            "+100.3 %",
        ),
    ],
)
def test_figures(made, name, both, moved):
    assert (figure_name(made), values(made), change(made)) == (name, both, moved)


def test_what_is_allowed():
    assert allowed(check(allowed=0.005)) == "0.0050"
    assert allowed(check("cost", "index_bytes", 1, 2)) == "0"
    assert allowed(check("time", "latency", 1, 2, allowed=0.25)) == "25 %"


@pytest.mark.parametrize(
    ("p", "text"), [(None, "-"), (0.0001, "<.001"), (0.0314, ".031"), (1.0, "1.000")]
)
def test_p(p, text):
    assert p_text(check(p=p)) == text


def test_an_alarm_is_one_line():
    made = check(allowed=0.005, p=0.0001, remark="most: q1\n 1 → 0")
    assert alarm_line(made) == (
        "toy (test/default), dense: nDCG@10 0.5000 → 0.4900 (-0.0100, allowed 0.0050, p <.001); "
        "most: q1\\n 1 → 0"
    )


def test_summary():
    fine = check(verdict=Verdict.EQUAL)
    other = check(verdict=Verdict.BETTER, system=System("toy", "org/model", "bm25"))
    assert summary([fine, fine, other]) == "3 checks of 2 baselines: 0 regressions"
    assert summary([fine, check()]) == "2 checks of 1 baseline: 1 regression"


def test_tables_have_all_quality_and_the_cost_that_moved():
    made = [
        check(verdict=Verdict.EQUAL),
        check("cost", "index_bytes", 5, 5, verdict=Verdict.EQUAL),
        check("cost", "query_flops", 5, 4, verdict=Verdict.BETTER),
        check(place="dev/default", verdict=Verdict.WITHIN),
        check(place="test/default", system=System("toy", "org/model", "bm25")),
    ]
    assert tables(made) == {
        ("toy", "test/default"): [made[0], made[2], made[4]],
        ("toy", "dev/default"): [made[3]],
    }
