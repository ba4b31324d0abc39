"""`task.json`, mteb's tasks of a folder's name, and the content hash."""

from __future__ import annotations

from pathlib import Path

import mteb
import pytest
from mteb.abstasks import AbsTaskClustering

from harness.errors import BadInputError
from harness.evaluation.tasks.folder import local_task
from tests.evaluation.tasks.folders import write

LABELS = [{"text": "a", "label": "x"}, {"text": "b", "label": "y"}]
PAIRS = [{"sentence1": "a", "sentence2": "b"}, {"sentence1": "c", "sentence2": "d"}]
CLUSTERS = [{"text": "a", "cluster": "x"}, {"text": "b", "cluster": "y"}]


def collection(folder: Path, **files) -> Path:
    write(
        folder,
        corpus=[{"_id": "d1", "text": "a"}, {"_id": "d2", "text": "b"}],
        queries=[{"_id": "q1", "text": "a"}],
    )
    (folder / "qrels").mkdir()
    (folder / "qrels" / "test.tsv").write_text("q1\td1\t1\n")
    return write(folder, **files)


def refusal(folder: Path) -> str:
    with pytest.raises(BadInputError) as caught:
        local_task(folder)
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    assert message.startswith(f"{folder / 'task.json'}")
    assert "; " in message
    return message


def test_every_setting_arrives(tmp_path):
    task = local_task(
        write(
            tmp_path / "mine",
            test=LABELS,
            train=LABELS,
            task={
                "type": "Classification",
                "languages": ["deu-Latn", "rus-Cyrl"],
                "prompt": {"query": "Sort the text", "document": "Sort it"},
                "description": "Tickets of our help desk.",
                "samples_per_label": 3,
                "n_experiments": 2,
            },
        )
    )
    assert task.metadata.eval_langs == ["deu-Latn", "rus-Cyrl"]
    assert task.metadata.prompt == {"query": "Sort the text", "document": "Sort it"}
    assert task.metadata.description == "Tickets of our help desk."
    assert (task.samples_per_label, task.n_experiments) == (3, 2)


def test_without_settings_mtebs_defaults_hold(tmp_path):
    task = local_task(write(tmp_path / "mine", test=LABELS, train=LABELS))
    assert task.metadata.eval_langs == ["eng-Latn"]
    assert task.metadata.prompt is None
    assert task.metadata.main_score == "accuracy"
    assert task.metadata.dataset["path"] == "local/mine"
    assert task.metadata.eval_splits == ["test"]


def test_the_type_settles_keys_that_tell_none(tmp_path):
    lines = [row | {"note": "n"} for row in PAIRS]
    task = local_task(write(tmp_path / "mine", test=lines, task={"type": "BitextMining"}))
    assert task.metadata.type == "BitextMining"
    assert task.dataset["test"].column_names == ["sentence1", "sentence2"]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"typ": "STS"}, ["'typ' is no setting", "type, languages, prompt, description"]),
        ({"type": "Ranking"}, ["'Ranking'", "write one of STS, PairClassification"]),
        ({"type": 1}, ['"type" is a number', "write a string"]),
        ({"languages": "eng-Latn"}, ["not an array", '["eng-Latn"]']),
        ({"languages": []}, ["not an array", '["eng-Latn"]']),
        ({"languages": ["en"]}, ["'en'", "eng-Latn"]),
        ({"languages": ["eng"]}, ["'eng'", "eng-Latn"]),
        ({"languages": ["eng-Latin"]}, ["'eng-Latin'", "eng-Latn"]),
        ({"languages": [1]}, ["a number", "write a string"]),
        ({"prompt": 1}, ['"prompt" is a number', "write a string"]),
        ({"prompt": " "}, ['"prompt" is blank', "remove"]),
        ({"prompt": {}}, ["other keys", "keep these two"]),
        ({"prompt": {"passage": "a"}}, ["other keys", "keep these two"]),
        ({"prompt": {"query": None}}, ['"prompt.query" is null', "write a string"]),
        ({"description": ""}, ['"description" is blank', "remove"]),
        ({"samples_per_label": 0}, ["out of range", "1 or more"]),
        ({"samples_per_label": True}, ["a boolean", "1 or more"]),
        ({"n_experiments": "3"}, ["a string", "1 or more"]),
        ([1], ["no JSON object", "write one object"]),
    ],
)
def test_a_bad_setting_is_named(tmp_path, settings, words):
    folder = write(tmp_path / "mine", test=LABELS, train=LABELS, task=settings)
    message = refusal(folder)
    assert all(word in message for word in words), message


def test_settings_that_are_no_json_are_refused(tmp_path):
    folder = write(tmp_path / "mine", test=PAIRS)
    (folder / "task.json").write_text('{"type": STS}')
    assert "cannot be read as JSON; write one object" in refusal(folder)
    (folder / "task.json").write_text("[" * 100_000)
    assert "cannot be read as JSON; write one object" in refusal(folder)


def test_settings_of_classifiers_are_refused_where_there_is_none(tmp_path):
    folder = write(tmp_path / "pairs", test=PAIRS, task={"n_experiments": 3})
    assert '"n_experiments" means nothing to a task of type BitextMining' in refusal(folder)
    values = [{"text": "a", "value": 1}, {"text": "b", "value": 2}]
    folder = write(tmp_path / "values", test=values, train=values, task={"samples_per_label": 3})
    assert '"samples_per_label" means nothing to a task of type Regression' in refusal(folder)
    assert local_task(write(folder, task={"n_experiments": 3})).n_experiments == 3
    folder = collection(tmp_path / "collection", task={"n_experiments": 3})
    assert '"n_experiments" means nothing to a task of type Retrieval' in refusal(folder)


def test_a_collection_may_have_settings(tmp_path):
    settings = {"languages": ["fra-Latn"], "prompt": "Find it", "type": "Retrieval"}
    task = local_task(collection(tmp_path / "mine", task=settings))
    assert task.metadata.eval_langs == ["fra-Latn"]
    assert task.metadata.prompt == "Find it"
    folder = collection(tmp_path / "other", task={"type": "STS"})
    assert "\"type\" is 'STS', but the files make a task of type Retrieval" in refusal(folder)


def test_too_few_drawn_lines_are_refused(tmp_path):
    several = [{"text": "a", "labels": ["x"]}, {"text": "b", "labels": ["y"]}] * 9
    folder = write(tmp_path / "mine", test=several, train=several, task={"samples_per_label": 2})
    with pytest.raises(BadInputError, match=r"as few as 4 .* needs 5; add lines or raise"):
        local_task(folder)
    assert local_task(write(folder, task={"samples_per_label": 3})).samples_per_label == 3


def test_a_copy_of_a_public_set_is_evaluated_as_the_public_one(tmp_path):
    task = local_task(write(tmp_path / "IFlyTek", test=LABELS, train=LABELS))
    public = mteb.get_task("IFlyTek")
    assert isinstance(task, type(public))
    assert public.n_experiments != 10
    for name in ("samples_per_label", "n_experiments"):
        assert getattr(task, name) == getattr(public, name)
    assert task.metadata.prompt == public.metadata.prompt
    assert task.metadata.eval_langs == public.metadata.eval_langs
    assert task.metadata.dataset["path"] == "local/IFlyTek"
    settings = {"n_experiments": 2, "prompt": "Mine", "languages": ["deu-Latn"]}
    task = local_task(write(tmp_path / "IFlyTek", task=settings))
    assert (task.n_experiments, task.metadata.prompt) == (2, "Mine")
    assert task.metadata.eval_langs == ["deu-Latn"]


def test_a_copy_may_have_labels_that_are_not_learnt(tmp_path):
    lines = [*LABELS, {"text": "c", "label": "z"}]
    task = local_task(write(tmp_path / "IFlyTek", test=lines, train=LABELS))
    assert list(task.dataset["test"]["label"]) == [0, 1, 2]


def test_a_copy_of_a_set_that_is_cross_validated_needs_no_training_lines(tmp_path):
    task = local_task(write(tmp_path / "SciRepEvalDRSMClassification", test=LABELS * 5))
    assert task.is_cross_validation
    assert task.train_split == "test"
    assert list(task.dataset) == ["test"]


def test_a_copys_columns_are_the_types(tmp_path):
    pairs = [row | {"score": n} for n, row in enumerate(PAIRS)]
    task = local_task(write(tmp_path / "UkrSedUASmallSTSv1", test=pairs))
    assert isinstance(task, type(mteb.get_task("UkrSedUASmallSTSv1")))
    assert task.column_names == ("sentence1", "sentence2")


def test_a_copy_of_a_clustering_set_keeps_its_sample(tmp_path):
    name = "TwentyNewsgroupsClustering.v2"
    task = local_task(write(tmp_path / name, test=CLUSTERS * 60))
    public = mteb.get_task(name)
    assert isinstance(task, type(public))
    for attribute in (
        "max_fraction_of_documents_to_embed",
        "max_document_to_embed",
        "max_documents_per_cluster",
    ):
        assert getattr(task, attribute) == getattr(public, attribute)


def test_a_copy_that_leaves_nothing_to_embed_is_refused(tmp_path):
    sampled = next(
        task.metadata.name
        for task in mteb.get_tasks(task_types=["Clustering"], modalities=["text"])
        if isinstance(task, AbsTaskClustering) and task.max_fraction_of_documents_to_embed == 0.04
    )
    folder = write(tmp_path / sampled, test=CLUSTERS * 10)
    with pytest.raises(BadInputError, match=r"of which mteb embeds 0 .* rename the folder"):
        local_task(folder)


def test_mtebs_older_form_of_clustering_lends_its_prompt_only(tmp_path):
    task = local_task(write(tmp_path / "TwentyNewsgroupsClustering", test=CLUSTERS))
    public = mteb.get_task("TwentyNewsgroupsClustering")
    assert not isinstance(task, type(public))
    assert isinstance(task, AbsTaskClustering)
    assert public.metadata.prompt is not None
    assert task.metadata.prompt == public.metadata.prompt
    assert task.max_fraction_of_documents_to_embed is None


def test_a_task_of_another_type_lends_nothing(tmp_path):
    task = local_task(write(tmp_path / "Banking77Classification", test=PAIRS))
    assert task.metadata.type == "BitextMining"
    assert task.metadata.prompt is None


def test_a_copied_collection_is_evaluated_as_the_public_one(tmp_path):
    task = local_task(collection(tmp_path / "ArguAna"))
    public = mteb.get_task("ArguAna")
    assert isinstance(task, type(public))
    assert task.ignore_identical_ids == public.ignore_identical_ids
    assert task.metadata.prompt == public.metadata.prompt
    assert task.metadata.main_score == public.metadata.main_score
    ranked = {"query": "q1", "documents": ["d2", "d1"]}
    folder = collection(tmp_path / "AskUbuntuDupQuestions")
    write(folder / "top_ranked", test=[ranked])
    task, public = local_task(folder), mteb.get_task("AskUbuntuDupQuestions")
    assert isinstance(task, type(public))
    assert task.metadata.main_score == public.metadata.main_score == "map_at_1000"


def test_a_set_that_is_evaluated_in_its_own_way_lends_its_prompt_only(tmp_path):
    pairs = [row | {"score": n} for n, row in enumerate(PAIRS)]
    task = local_task(write(tmp_path / "StakeholderGrounding", test=pairs))
    assert mteb.get_task("StakeholderGrounding").metadata.main_score == "alpha_auc"
    assert task.metadata.main_score == "cosine_spearman"


def test_reranking_whose_scores_read_other_files_lends_its_prompt_only(tmp_path):
    folder = collection(
        tmp_path / "Core17InstructionRetrieval",
        queries=[{"_id": "q1", "text": "a", "instruction": "b"}],
    )
    write(folder / "top_ranked", test=[{"query": "q1", "documents": ["d2", "d1"]}])
    task, public = local_task(folder), mteb.get_task("Core17InstructionRetrieval")
    assert task.metadata.type == public.metadata.type == "InstructionReranking"
    assert not isinstance(task, type(public))
    assert task.metadata.main_score == "map_at_1000"


LINES = {
    "sts": [{"sentence1": "a", "sentence2": "b", "score": n} for n in (1, 2)],
    "pairs": [{"sentence1": "a", "sentence2": "b", "label": n} for n in (0, 1)] * 2,
    "bitext": PAIRS,
    "labels": LABELS * 2,
    "several": [{"text": "a", "labels": ["x", "y"]}, {"text": "b", "labels": ["y"]}] * 3,
    "values": [{"text": "a", "value": n} for n in (1, 2, 3)],
    "clusters": [{"text": "a", "cluster": ["x", "v"]}, {"text": "b", "cluster": ["y", "w"]}] * 2,
    "ranked": [{"query": "a", "positive": ["b"], "negative": ["c"]}] * 2,
    "summaries": [
        {
            "text": "a",
            "human_summaries": ["b"],
            "machine_summaries": ["c", "d"],
            "relevance": [1, 2],
        }
    ],
}
OTHER = {
    "score": 3,
    "label": "y",
    "labels": ["x"],
    "value": 1.5,
    "cluster": ["y", "v"],
    "positive": ["b", "b"],
    "negative": ["d"],
    "human_summaries": ["b", "b"],
    "machine_summaries": ["c", "e"],
    "relevance": [2, 1],
}


@pytest.mark.parametrize(
    ("name", "key"), [(n, key) for n, rows in LINES.items() for key in rows[0]]
)
def test_the_revision_follows_every_field(tmp_path, name, key):
    rows = LINES[name]
    trained = {"train": rows} if name in ("labels", "several", "values") else {}

    def revision(**files) -> str:
        return local_task(write(tmp_path / "mine", **files)).metadata.revision

    other = 1 if name == "pairs" and key == "label" else OTHER.get(key, "other")
    changed = [rows[0] | {key: other}, *rows[1:]]
    original = revision(test=rows, **trained)
    assert revision(test=rows, **trained) == original
    assert revision(test=changed, **trained) != original
    if trained:
        assert revision(test=rows, train=changed) != original
    assert revision(test=[*rows, rows[0]], **trained) != original


def test_the_revision_follows_order_split_and_what_is_drawn(tmp_path):
    def revision(split="test", **files) -> str:
        return local_task(write(tmp_path / "mine", **files), split=split).metadata.revision

    original = revision(test=LABELS, train=LABELS)
    assert revision(test=LABELS[::-1]) != original
    assert revision(test=LABELS, train=LABELS[::-1]) != original
    assert revision(test=LABELS, train=LABELS) == original
    assert revision(dev=LABELS, split="dev") != original
    assert revision(task={"description": "Other words."}) == original
    drawn = {revision(task={"samples_per_label": n}) for n in (1, 2)}
    assert len(drawn | {original, revision(task={"n_experiments": 2})}) == 4


def test_a_collections_revision_follows_instructions_and_candidates(tmp_path):
    def revision(name, query, candidates=None) -> str:
        folder = collection(tmp_path / name, queries=[{"_id": "q1", "text": "a"} | query])
        if candidates:
            write(folder / "top_ranked", test=[{"query": "q1", "documents": candidates}])
        return local_task(folder).metadata.revision

    revisions = {
        revision("a", {}),
        revision("b", {"instruction": "a"}),
        revision("c", {"instruction": "b"}),
        revision("d", {}, ["d1", "d2"]),
        revision("e", {}, ["d2", "d1"]),
        revision("f", {"instruction": "a"}, ["d2", "d1"]),
    }
    assert len(revisions) == 6
    assert revision("g", {"instruction": None}) in revisions
