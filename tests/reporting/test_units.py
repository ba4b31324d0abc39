import pytest

from harness.reporting.units import (
    bytes_text,
    cost_share_text,
    duration,
    metric_name,
    milliseconds,
    p_text,
    ratio_text,
    si,
)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "-"),
        (0, "0"),
        (0.5, "0.50"),
        (999, "999"),
        (999.6, "1.00 k"),
        (1_300, "1.30 k"),
        (12_345, "12.3 k"),
        (311_926_929.4, "312 M"),
        (1_683_235_227.6, "1.68 G"),
        (2.9e13, "29.0 T"),
        (4e15, "4.00 P"),
        (4e18, "4000 P"),
    ],
)
def test_counts_have_a_prefix_and_three_digits(value, shown):
    assert si(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "-"),
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.00 KiB"),
        (7_961_088, "7.59 MiB"),
        (3 << 30, "3.00 GiB"),
        (5 << 40, "5.00 TiB"),
    ],
)
def test_bytes_have_binary_prefixes(value, shown):
    assert bytes_text(value) == shown


@pytest.mark.parametrize(
    ("shown", "right"),
    [
        (si(9_996), "10.0 k"),
        (si(99_960), "100 k"),
        (bytes_text((1 << 20) - 1), "1.00 MiB"),
        (milliseconds(9.996), "10.0"),
    ],
)
def test_rounding_up_keeps_three_digits(shown, right):
    assert shown == right


@pytest.mark.parametrize(
    ("value", "shown"), [(None, "-"), (0.15, "0.15"), (7.2689945, "7.27"), (123.4, "123")]
)
def test_milliseconds_have_three_digits(value, shown):
    assert milliseconds(value) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (None, "-"),
        (0, "0 s"),
        (0.25, "0.25 s"),
        (59.94, "59.9 s"),
        (59.96, "1 min 0 s"),
        (245.4, "4 min 5 s"),
        (3_599.4, "59 min 59 s"),
        (3_599.6, "1 h 0 min"),
        (12_000, "3 h 20 min"),
        (86_369, "23 h 59 min"),
        (86_371, "1 d 0 h"),
        (12.5 * 86_400, "12 d 12 h"),
        (1e9, "11574 d 2 h"),
    ],
)
def test_durations_have_their_two_largest_units(seconds, shown):
    assert duration(seconds) == shown


@pytest.mark.parametrize(
    ("value", "shown"), [(None, "-"), (0.0, "0.0 %"), (0.95555, "95.6 %"), (1.0273, "102.7 %")]
)
def test_ratios_are_per_cent(value, shown):
    assert ratio_text(value) == shown


@pytest.mark.parametrize(
    ("metric", "shown"),
    [
        ("ndcg_at_10", "nDCG@10"),
        ("map_at_1000", "MAP@1000"),
        ("mrr_at_10", "MRR@10"),
        ("recall_at_100", "Recall@100"),
        ("precision_at_5", "P@5"),
        ("cosine_spearman", "cosine_spearman"),
        ("accuracy", "accuracy"),
    ],
)
def test_metrics_have_their_usual_names(metric, shown):
    assert metric_name(metric) == shown


@pytest.mark.parametrize(
    ("share", "shown"),
    [
        (0, "0 %"),
        (4.17e-5, "0.00417 %"),
        (0.0111, "1.11 %"),
        (1, "100 %"),
        (4.5, "450 %"),
        (45, "45 ×"),
        (12_345, "1.23e+04 ×"),
    ],
)
def test_shares_of_a_cost_keep_three_digits(share, shown):
    assert cost_share_text(share) == shown


@pytest.mark.parametrize(
    ("p", "shown"),
    [(None, "-"), (0.0, "<0.0001"), (0.00004, "<0.0001"), (0.0001, "0.0001"), (1, "1.0000")],
)
def test_small_p_values_are_a_bound(p, shown):
    assert p_text(p) == shown
