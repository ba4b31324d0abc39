"""The types of task that a folder of JSON lines can hold, told by the keys of a line.

The file `SPLIT.jsonl` (or `.jsonl.gz`; `test.jsonl` unless `tasks.split` says otherwise) holds one
object a line:

| type | a line | also |
|---|---|---|
| STS | `{"sentence1": "…", "sentence2": "…", "score": 4.5}` | any scale |
| PairClassification | `{"sentence1": "…", "sentence2": "…", "label": 1}` | 1 together, 0 not |
| BitextMining | `{"sentence1": "…", "sentence2": "…"}` | each line a text and its translation |
| Classification | `{"text": "…", "label": "…"}` | `train.jsonl`; string or integer labels |
| MultilabelClassification | `{"text": "…", "labels": ["…", "…"]}` | `train.jsonl`; none is `[]` |
| Regression | `{"text": "…", "value": 4.5}` | `train.jsonl` |
| Clustering | `{"text": "…", "cluster": "…"}` | levels as an array, top first; -1 is none |
| Reranking | `{"query": "…", "positive": ["…"], "negative": ["…"]}` | as mteb's old format |
| Summarization | `{"text": "…", "human_summaries": ["…"], "machine_summaries": ["…", "…"], \
"relevance": [4, 2.5]}` | one grade a machine summary |

Other keys are ignored, but a line of BitextMining has none unless `task.json` gives the type.

Labels of the evaluated split must occur in `train.jsonl`, unless the folder is a copy of a set of
mteb's. The order of lines is kept: mteb draws experiments by it.

The folder's name is the task's. If mteb has a task of exactly this name and type, its prompt, main
metric, samples per label and whatever else steers evaluation are used; else mteb's defaults are,
but for clustering, where every text is embedded.

`task.json` may stand beside, with any of `type`, `languages` (`["eng-Latn"]`, which is the
default), `prompt` (one text, or `{"query": "…", "document": "…"}`), `description`, and for
classification `samples_per_label` (8) and `n_experiments` (10).
"""

from __future__ import annotations

from collections.abc import Collection

from harness.evaluation.tasks.json_lines import FaultError, shown
from harness.evaluation.tasks.typed.clustering import CLUSTERING
from harness.evaluation.tasks.typed.form import Form
from harness.evaluation.tasks.typed.labels import (
    CLASSIFICATION,
    MULTILABEL_CLASSIFICATION,
    REGRESSION,
)
from harness.evaluation.tasks.typed.pairs import BITEXT_MINING, PAIR_CLASSIFICATION, STS
from harness.evaluation.tasks.typed.reranking import RERANKING
from harness.evaluation.tasks.typed.summarization import SUMMARIZATION

FORMS = {
    form.task_type: form
    for form in (
        STS,
        PAIR_CLASSIFICATION,
        BITEXT_MINING,
        CLASSIFICATION,
        MULTILABEL_CLASSIFICATION,
        REGRESSION,
        CLUSTERING,
        RERANKING,
        SUMMARIZATION,
    )
}


def form_of_type(name: str) -> Form:
    """The form of a task type.

    Raises:
        FaultError: If there is none.
    """
    if name not in FORMS:
        raise FaultError(f'"type" is {shown(name)}; write one of {", ".join(FORMS)}')
    return FORMS[name]


def form_of_keys(keys: Collection[str]) -> Form:
    """The form whose keys a line has.

    Raises:
        FaultError: If there is none, or more than one.
    """
    fitting = [form for form in FORMS.values() if set(form.keys) <= set(keys)]
    if BITEXT_MINING in fitting and len(set(keys)) > len(BITEXT_MINING.keys):
        fitting.remove(BITEXT_MINING)
    if len(fitting) == 1:
        return fitting[0]
    has = ", ".join(map(shown, keys)) if len(keys) <= 9 else f"{len(keys)} keys"
    which = " and ".join(form.task_type for form in fitting) or "no type"
    known = "; ".join(f"{form.task_type}: {', '.join(form.keys)}" for form in FORMS.values())
    remedy = 'give "type" in task.json or the keys of one type'
    raise FaultError(f"the keys {has} fit {which}; {remedy} ({known})")
