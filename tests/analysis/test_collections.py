"""Judged collections, a file of texts, and a folder's documents: all read as a run reads them."""

import gzip
import json

import numpy as np
import pytest

from harness.analysis.collections import judged_collections, texts_of_file
from harness.analysis.study import ndcg_of
from harness.evaluation.tasks.folder import folder_task, local_task, read_documents
from harness.retrieval.ranking import Ranking
from tests.analysis.conftest import DOCUMENTS, QUERIES, write_collection
from tests.evaluation.every_type import FOLDERS
from tests.evaluation.every_type import write_folder as write_typed


@pytest.fixture
def encoder(stories, analyze_config, encoder_of):
    return encoder_of(analyze_config(stories))


def collections(encoder, *tasks):
    return list(judged_collections(tasks, encoder, task_instructions={}))


def test_a_folder_s_texts_and_grades(encoder, folder):
    (found,) = collections(encoder, folder_task(folder))
    assert found.name == "tales"
    assert list(found.corpus.ids) == sorted(name for name, _, _ in DOCUMENTS)
    assert found.corpus.texts[0] == "Fruit An apple a day keeps the doctor away."
    assert found.corpus.texts[1] == "Tom had a red ball. He liked to play with it in the park."
    assert (found.corpus.side, found.queries.side) == ("document", "query")
    assert [(i, t) for i, t, _ in QUERIES] == [
        *zip(found.queries.ids, found.queries.texts, strict=True)
    ]
    assert found.grades.shape == (5, 14)
    for number, (_, _, grades) in enumerate(QUERIES):
        row = found.grades[[number]].tocoo()
        assert grades == {
            found.corpus.ids[column]: int(grade)
            for column, grade in zip(row.col, row.data, strict=True)
        }
    assert found.ignore_identical_ids is False


def test_the_same_collection_under_another_encoder(
    encoder, folder, analyze_config, encoder_of, tiny_llama
):
    (found,) = collections(encoder, folder_task(folder))
    other = encoder_of(analyze_config(tiny_llama))
    changed = found.under(other)
    assert changed.corpus.encoder is changed.queries.encoder is other
    for one, two in ((found.corpus, changed.corpus), (found.queries, changed.queries)):
        assert (one.ids, one.texts, one.side) == (two.ids, two.texts, two.side)
    assert changed.grades is found.grades
    assert changed.name == "tales"


def test_several_places_are_collections_of_their_own(encoder, folder):
    task = folder_task(folder)
    data = task.dataset["default"]["test"]
    task.hf_subsets = ["default", "other"]
    task.dataset["other"] = {"test": {**data, "corpus": data["corpus"].select(range(4))}}
    found = collections(encoder, task)
    assert [one.name for one in found] == ["tales/default/test", "tales/other/test"]
    assert [len(one.corpus) for one in found] == [14, 4]


def test_queries_without_a_judgement_are_left_out_as_mteb_does(encoder, folder):
    task = folder_task(folder)
    judgements = task.dataset["default"]["test"]["relevant_docs"]
    del judgements["q1"]
    judgements["q3"] = {}
    judgements["q5"] = {"sea": 0}  # judged: counted, with a score of 0
    (found,) = collections(encoder, task)
    assert list(found.queries.ids) == ["q2", "cat", "q5"]
    assert found.grades.shape == (3, 14)


def test_a_judged_document_that_is_not_in_the_corpus_lowers_the_score_as_in_mteb(encoder, folder):
    """trec_eval's ideal ranking has it; 1 / (1 + 1/log2(3)) is what the other one reaches."""
    task = folder_task(folder)
    judgements = task.dataset["default"]["test"]["relevant_docs"]
    judgements.clear()
    judgements["q3"] = {"girl": 1, "lost": 1}
    (found,) = collections(encoder, task)
    ranking = Ranking.empty(1, 10)
    ranking.documents[0, 0] = list(found.corpus.ids).index("girl")
    ranking.scores[0, 0] = 1.0
    assert ndcg_of(ranking, found).tolist() == [pytest.approx(1 / (1 + 1 / np.log2(3)))]
    assert found.grades.shape == (1, 15)
    ranking.documents[0] = [row for row in range(14) if found.corpus.ids[row] != "girl"][:10]
    assert ndcg_of(ranking, found).tolist() == [0.0]


def test_tasks_that_search_nothing_are_left_out(encoder, folder, tmp_path, capsys):
    other = local_task(write_typed(tmp_path / "pairs", FOLDERS["sts"]))
    reranking = write_collection(tmp_path / "candidates")
    (reranking / "top_ranked").mkdir()
    lines = [json.dumps({"query": name, "documents": ["cat", "dog"]}) for name, _, _ in QUERIES]
    (reranking / "top_ranked" / "test.jsonl").write_text("\n".join(lines))
    found = collections(encoder, other, folder_task(folder), folder_task(reranking))
    assert [one.name for one in found] == ["tales"]
    said = " ".join(capsys.readouterr().err.split())
    assert said == "left out, for they search no corpus: pairs, candidates"


def test_no_task_that_searches_is_refused(encoder, tmp_path, refusal):
    other = local_task(write_typed(tmp_path / "pairs", FOLDERS["sts"]))
    message = refusal(lambda: collections(encoder, other))
    assert message == "pairs: no task searches a corpus; choose one of type Retrieval"


def test_the_task_s_instruction_is_put_before_its_queries(
    stories, folder, analyze_config, encoder_of
):
    config = analyze_config(stories, "instruction=none", "instruction.query='{instruction} {text}'")
    instructions = {"tales": {"query": "Find a tale:"}}
    tasks = [folder_task(folder)]
    (found,) = judged_collections(tasks, encoder_of(config), task_instructions=instructions)
    tokenizer = found.queries.encoder.model.tokenizer
    assert tokenizer.decode(found.queries.prompts.ids[0], skip_special_tokens=True) == (
        "Find a tale: play in the park"
    )


# A file of texts.


def test_lines_are_texts_and_their_numbers_ids(encoder, tmp_path):
    path = tmp_path / "texts.txt"
    path.write_bytes("\ufeff One day \r\n\n \t\nü 中\n\nlast".encode())
    texts = texts_of_file(path, encoder)
    assert list(texts.ids) == ["1", "4", "6"]
    assert list(texts.texts) == ["One day", "ü 中", "last"]
    assert texts.side == "symmetric"


def test_only_line_ends_end_a_line(encoder, tmp_path):
    """Other separators of Unicode stand within texts, and move no line number."""
    path = tmp_path / "texts.txt"
    text = "one\u2028two\x85three\x0bfour\x1cfive"
    path.write_text(f"{text}\nnext\n", encoding="utf-8")
    texts = texts_of_file(path, encoder)
    assert list(zip(texts.ids, texts.texts, strict=True)) == [("1", text), ("2", "next")]


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (None, "cannot be read as UTF-8 text; give a file with one text a line"),
        (b"caf\xe9", "cannot be read as UTF-8 text; give a file with one text a line"),
        (b"", "holds no text; put one on each line"),
        (b" \n\t\n", "holds no text; put one on each line"),
    ],
)
def test_a_bad_file_is_refused(encoder, tmp_path, refusal, content, fault):
    path = tmp_path / "texts.txt"
    if content is not None:
        path.write_bytes(content)
    assert refusal(lambda: texts_of_file(path, encoder)) == f"texts={path}: {fault}"


def test_a_folder_is_no_file_of_texts(encoder, tmp_path, refusal):
    assert refusal(lambda: texts_of_file(tmp_path, encoder)).startswith(
        f"texts={tmp_path}: cannot be read as UTF-8 text"
    )


# The documents of a folder that has no queries.


def test_documents_alone_are_read_in_the_order_of_their_ids(tmp_path):
    lines = ['{"_id": "b", "title": "T", "text": "x"}', "", '{"_id": 7, "text": "y"}']
    lines.append('{"_id": "c", "title": null, "text": " "}')  # blank ones are documents too
    (tmp_path / "corpus.jsonl").write_text("\n".join(lines))
    assert read_documents(tmp_path) == [("7", "y"), ("b", "T x"), ("c", "")]


def test_documents_are_joined_as_a_task_joins_them(folder, encoder):
    (found,) = collections(encoder, folder_task(folder))
    assert read_documents(folder) == [*zip(found.corpus.ids, found.corpus.texts, strict=True)]
    with gzip.open(folder / "corpus.jsonl.gz", "wb") as packed:
        packed.write((folder / "corpus.jsonl").read_bytes())
    plain = read_documents(folder)
    (folder / "corpus.jsonl").unlink()
    assert read_documents(folder) == plain


@pytest.mark.parametrize(
    ("lines", "where"),
    [
        (['{"_id": "a", "text": "x"}', "{broken"], "line 2"),
        (['{"_id": "a", "text": "x"}', "", '{"_id": "b"}'], "line 3"),
        (['{"text": "x"}'], "line 1"),
        (['{"_id": "a", "text": "x"}', '{"_id": "a", "text": "y"}'], "line 2"),
        (["[1]"], "line 1"),
        ([""], "holds no document"),
    ],
)
def test_a_malformed_line_is_refused_with_its_number(tmp_path, refusal, lines, where):
    (tmp_path / "corpus.jsonl").write_text("\n".join(lines))
    message = refusal(lambda: read_documents(tmp_path))
    assert str(tmp_path / "corpus.jsonl") in message
    assert where in message


def test_a_folder_without_documents_is_refused(tmp_path, refusal):
    assert "corpus.jsonl" in refusal(lambda: read_documents(tmp_path))
    assert "nowhere" in refusal(lambda: read_documents(tmp_path / "nowhere"))
