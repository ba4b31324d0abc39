"""What writing a baseline anew changes: old → new, and what the new one has no more."""

from __future__ import annotations

from collections.abc import Sequence

from harness.regression.check import Check
from harness.regression.likeness import changed_settings, lost, unlike
from harness.regression.snapshot import Snapshot
from harness.regression.words import change, figure_name, values


def change_lines(old: Snapshot | None, new: Snapshot, checks: Sequence[Check]) -> list[str]:
    """What a person should know before the file is committed, one line each.

    Args:
        old: The baseline that is replaced; None where there is none that can be read.
        new: What replaces it.
        checks: Both compared; only those whose value moved are told.

    Returns:
        Empty where nothing changes.
    """
    if old is None:
        return [f"new: {_main_values(new)}"]
    return [
        *(f"fewer: the baseline no longer has {what}" for what in lost(old, new)),
        *(f"other: {what}" for what in unlike(old, new)),
        *(f"setting: {line}" for line in changed_settings(old, new)),
        *(moved_line(check) for check in checks if check.baseline != check.value),
    ]


def moved_line(check: Check) -> str:
    """A figure old → new, and whether a comparison would let that pass."""
    before, now = values(check)
    worse = ", worse than a comparison would allow" if check.alarms else ""
    remark = f"; {check.remark}" if check.remark else ""
    return f"{check.place} {figure_name(check)} {before} → {now} ({change(check)}{worse}){remark}"


def _main_values(new: Snapshot) -> str:
    values_ = (
        (place, figures.scores[new.main_metric].value) for place, figures in new.places.items()
    )
    texts = [f"{place} {'-' if value is None else f'{value:.4f}'}" for place, value in values_]
    return f"{new.main_metric} {', '.join(texts)}"
