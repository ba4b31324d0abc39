"""Figures as people read them."""

from __future__ import annotations

_SI = ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))
_BINARY = ((1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"))
_NAMES = {"ndcg": "nDCG", "map": "MAP", "mrr": "MRR", "recall": "Recall", "precision": "P"}
ABSENT = "-"


def si(value: float | None) -> str:
    """A count with an SI prefix and three significant digits: `1.42 G`; `-` when absent."""
    if value is None:
        return ABSENT
    for factor, prefix in _SI:
        if value >= factor * 0.9995:
            return f"{_three(value / factor)} {prefix}"
    return _three(value)


def bytes_text(value: float | None) -> str:
    """Bytes with a binary prefix: `7.59 MiB`; `-` when absent."""
    if value is None:
        return ABSENT
    for factor, prefix in _BINARY:
        if value >= factor * 0.9995:
            return f"{_three(value / factor)} {prefix}"
    return f"{value:.0f} B"


def milliseconds(value: float | None) -> str:
    """Milliseconds with three significant digits; `-` when absent."""
    return ABSENT if value is None else _three(value)


def duration(seconds: float | None) -> str:
    """A time in its two largest units: `0.25 s`, `4 min 5 s`, `3 h 20 min`; `-` when absent."""
    if seconds is None:
        return ABSENT
    if seconds < 59.95:
        return f"{_three(seconds)} s"
    if (whole := round(seconds)) < 3600:
        return f"{whole // 60} min {whole % 60} s"
    if (whole := round(seconds / 60)) < 24 * 60:
        return f"{whole // 60} h {whole % 60} min"
    whole = round(seconds / 3600)
    return f"{whole // 24} d {whole % 24} h"


def ratio_text(value: float | None) -> str:
    """A ratio as per cent with one decimal: `95.6 %`; `-` when absent."""
    return ABSENT if value is None else f"{100 * value:.1f} %"


def p_text(p: float | None) -> str:
    """A p-value to four decimals; `<0.0001` below, `-` when absent."""
    if p is None:
        return ABSENT
    return f"{p:.4f}" if p >= 0.00005 else "<0.0001"


def cost_share_text(share: float) -> str:
    """A share of a cost, hundredths of a per cent or multiples: `0.0042 %`, `103 %`, `45 ×`."""
    return f"{share:,.3g} ×" if share >= 10 else f"{100 * share:.3g} %"


def metric_name(metric: str) -> str:
    """A metric as the field writes it: mteb's `ndcg_at_10` is `nDCG@10`."""
    name, _, depth = metric.partition("_at_")
    shown = _NAMES.get(name, name)
    return f"{shown}@{depth}" if depth else shown


def _three(value: float) -> str:
    if value == 0:
        return "0"
    if value >= 99.95:
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= 9.995 else f"{value:.2f}"
