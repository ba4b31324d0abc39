"""Sizes: published figures, statistics worked by hand, and what mteb really encodes."""

import mteb
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mteb.abstasks.task_metadata import TaskMetadata
from mteb.mocks import mock_tasks

from harness.config.evaluation import TASK_TYPES
from harness.cost.flops import QuadraticFlops
from harness.evaluation.tasks.folder import folder_task
from harness.evaluation.tasks.local import Collection, retrieval_task
from harness.evaluation.tasks.sizes import TaskSize, estimate, task_size


def size_of(name, **filters):
    return task_size(mteb.get_task(name, **filters))


class TestShippedStatistics:
    def test_collection(self):
        assert size_of("SciFact") == TaskSize(
            type="Retrieval",
            splits=("test",),
            subsets=("default",),
            documents=5_183,
            queries=300,
            characters=7_798_555,
            lengths=((5_183, pytest.approx(1_499.4, abs=0.1)), (300, pytest.approx(90.3, abs=0.1))),
        )

    def test_splits_are_those_of_the_task(self):
        size = size_of("MSMARCO")
        assert (size.splits, size.documents, size.queries) == (("dev",), 8_841_823, 6_980)

    def test_an_aggregate_is_the_sum_of_its_parts(self):
        size = size_of("CQADupstackRetrieval")
        assert (size.documents, size.queries, len(size.lengths)) == (457_199, 13_145, 24)
        parts = [task_size(part) for part in mteb.get_task("CQADupstackRetrieval").tasks]
        assert size.characters == sum(part.characters for part in parts)

    def test_an_aggregate_with_an_unknown_part_is_unknown(self):
        task = mteb.get_task("CQADupstackRetrieval")
        task.tasks = [*task.tasks, mteb.get_task("LexRetrieval.v1")]
        assert task_size(task) is None

    def test_pairs_are_two_texts_and_equal_texts_are_encoded_once(self):
        size = size_of("STSBenchmark")
        assert (size.documents, size.queries, size.characters) == (2 * 1_379, 0, 147_886)
        assert [count for count, _ in size.lengths] == [1_256, 1_337]

    def test_a_subset_and_a_split_of_several(self):
        task = mteb.get_task("MassiveIntentClassification", hf_subsets=["en"])
        task.filter_eval_splits(["test"])
        size = task_size(task)
        assert (size.subsets, size.splits) == (("en",), ("test",))
        assert size.lengths[0][0] == 2_970  # distinct of 2,974

    def test_test_texts_and_at_most_the_training_texts_that_are_drawn(self):
        size = size_of("Banking77Classification")
        (tested, _), (trained, _) = size.lengths
        assert tested == 3_080
        counts = mteb.get_task("Banking77Classification").metadata.descriptive_stats["train"][
            "label_statistics"
        ]["labels"]
        assert trained == sum(min(label["count"], 80) for label in counts.values()) == 6_036
        assert size.documents == 3_080 + 6_036

    def test_old_clustering_encodes_texts_that_come_again_once(self):
        size = size_of("TwentyNewsgroupsClustering")
        assert size.documents == 59_545
        assert size.lengths == ((5_242, pytest.approx(32.04, abs=0.01)),)

    @pytest.mark.parametrize(
        ("name", "drawn"),
        [
            ("TwentyNewsgroupsClustering.v2", int(0.04 * 59_545)),
            ("ArXivHierarchicalClusteringP2P", int(0.04 * 2_048)),
        ],
    )
    def test_clustering_draws_a_part(self, name, drawn):
        assert size_of(name).documents == drawn

    def test_a_language_is_encoded_once_for_all_of_its_pairs(self):
        subsets = [f"eng_Latn-{other}" for other in ("fra_Latn", "deu_Latn", "spa_Latn")]
        size = size_of("FloresBitextMining", hf_subsets=subsets)
        assert len(size.subsets) == 3
        assert size.documents == 4 * 1_012

    def test_pairs_that_are_subsets_are_encoded_each(self):
        task = mteb.get_task("Tatoeba", hf_subsets=["sqi-eng", "fry-eng"])
        assert task_size(task).documents == 2 * 1_000 + 2 * 173

    def test_summaries_are_encoded_and_what_they_summarise_is_not(self):
        size = size_of("SummEval")
        assert size.documents == 100 * 11 + 100 * 16

    def test_reranking_has_queries(self):
        size = size_of("AskUbuntuDupQuestions")
        assert (size.type, size.queries) == ("Reranking", 361)

    @pytest.mark.parametrize("name", ["LexRetrieval.v1", "InjongoIntent"])
    def test_unknown(self, name):  # no file; a subset that the file lacks
        assert size_of(name) is None

    def test_almost_every_text_task_has_a_size(self):
        tasks = mteb.get_tasks(modalities=["text"], exclusive_modality_filter=True)
        sizes = {task.metadata.name: task_size(task) for task in tasks if scored(task)}
        unknown = [name for name, size in sizes.items() if size is None]
        assert len(sizes) > 1_000
        assert len(unknown) < 10
        assert all(size.documents > 0 for size in sizes.values() if size)


def scored(task):
    return task.metadata.type in TASK_TYPES


def text_statistics(count, distinct, mean):
    return {
        "total_text_length": round(count * mean),
        "average_text_length": mean,
        "unique_texts": distinct,
    }


@pytest.fixture
def shipped(monkeypatch):
    """Makes statistics of one's own those that mteb ships."""

    def ship(statistics):
        monkeypatch.setattr(TaskMetadata, "descriptive_stats", property(lambda _: statistics))

    return ship


class TestStatisticsByHand:
    def labelled(self, count, labels):
        counts = {str(number): {"count": count} for number, count in enumerate(labels)}
        return {
            "text_statistics": text_statistics(count, count, 10.0),
            "label_statistics": {"labels": counts},
        }

    def test_training_texts_are_bounded_label_by_label(self, shipped):
        shipped({"test": self.labelled(7, [7]), "train": self.labelled(200, [5, 100, 95])})
        size = size_of("Banking77Classification")
        assert size.documents == 7 + 5 + 80 + 80
        assert size.characters == 10 * 172

    def test_nothing_is_trained_on_twice_where_the_training_split_is_evaluated(self, shipped):
        shipped({"train": self.labelled(30, [30])})
        task = mteb.get_task("Banking77Classification")
        task.filter_eval_splits(["train"])
        assert task_size(task).documents == 30

    def test_multilabel_evaluation_is_cut(self, shipped):
        shipped({"test": self.labelled(9_000, [1]), "train": self.labelled(50, [40, 30])})
        task = mteb.get_task("KorHateSpeechMLClassification")
        task.filter_eval_splits(["test"])
        assert task.max_eval_samples == 3_000
        assert task_size(task).documents == 3_000 + 50

    def test_regression_draws_a_number_of_training_texts(self, shipped):
        subsets = {"test": self.labelled(3, []), "train": self.labelled(100_000, [])}
        shipped(
            {
                split: {"hf_subset_descriptive_stats": {"yearpubl_en": place}}
                for split, place in subsets.items()
            }
        )
        task = mteb.get_task("RuSciBenchYearPublRegression", hf_subsets=["yearpubl_en"])
        assert (task.n_experiments, task.n_samples) == (10, 2_048)
        assert task_size(task).documents == 3 + 20_480

    def test_a_limit_on_clustered_documents(self, shipped):
        shipped({"test": {"text_statistics": text_statistics(500, 400, 8.0)}})
        task = mteb.get_task("TwentyNewsgroupsClustering.v2")
        task.max_fraction_of_documents_to_embed = None
        assert task_size(task).lengths == ((400, 8.0),)
        task.max_document_to_embed = 450
        assert task_size(task).documents == 450
        task.max_document_to_embed = 100
        assert task_size(task).lengths == ((100, 8.0),)

    @pytest.mark.parametrize(
        "statistics",
        [
            None,
            {},
            {"dev": {}},
            {"test": {}},
            {"test": {"documents_text_statistics": None, "queries_text_statistics": None}},
            {"test": {"documents_text_statistics": {"average_text_length": 3.0}}},
        ],
    )
    def test_what_the_statistics_lack_is_unknown(self, shipped, statistics):
        shipped(statistics)
        assert size_of("SciFact") is None

    def test_splits_and_subsets_add_up(self, shipped):
        pair = {
            side: text_statistics(count, count, 4.0)
            for side, count in (("text1_statistics", 2), ("text2_statistics", 3))
        }
        subsets = {"en-en": pair, "en-de": pair, "es-es": pair}
        shipped({split: {"hf_subset_descriptive_stats": subsets} for split in ("dev", "test")})
        task = mteb.get_task("STS17", hf_subsets=["en-en", "en-de"])
        task.filter_eval_splits(["dev", "test"])
        size = task_size(task)
        assert (size.documents, size.characters) == (2 * 2 * 5, 4 * 20)
        assert size.lengths == ((2, 4.0), (3, 4.0)) * 4

    def test_statistics_of_all_subsets_together_tell_nothing_of_one(self, shipped):
        pair = text_statistics(2, 2, 4.0)
        shipped({"test": {"text1_statistics": pair, "text2_statistics": pair}})
        assert size_of("STS17", hf_subsets=["en-en"]) is None

    def test_texts_without_characters(self, shipped):
        empty = text_statistics(1, 1, 0.0)
        shipped({"test": {"documents_text_statistics": empty, "queries_text_statistics": empty}})
        size = size_of("SciFact")
        assert (size.documents, size.queries, size.characters) == (1, 1, 0)


class Counting:
    """An encoder that counts what it is given; its embeddings differ from text to text."""

    def __init__(self):
        self.mteb_model_meta = mteb.get_model_meta("mteb/baseline-random-encoder")
        self.texts = []

    def encode(self, inputs, **_):
        texts = [text for batch in inputs for text in batch["text"]]
        self.texts += texts
        start = len(self.texts)
        return np.cos(np.outer(np.arange(start, start + len(texts)) + 1, [1.0, 2.0, 3.0]))

    def similarity(self, first, second):
        return np.asarray(first) @ np.asarray(second).T

    def similarity_pairwise(self, first, second):
        return (np.asarray(first) * np.asarray(second)).sum(axis=1)


MOCKS = [
    "MockRetrievalTask",
    "MockMultilingualRetrievalTask",
    "MockRerankingTask",
    "MockInstructionReranking",
    "MockInstructionRetrieval",
    "MockSTSTask",
    "MockMultilingualSTSTask",
    "MockPairClassificationTask",
    "MockMultilingualPairClassificationTask",
    "MockBitextMiningTask",
    "MockMultilingualBitextMiningTask",
    "MockMultilingualParallelBitextMiningTask",
    "MockSummarizationTask",
    "MockMultilingualSummarizationTask",
    "MockMultilingualClusteringFastTask",
    "MockClassificationTask",
    "MockMultilabelClassification",
    "MockRegressionTask",
]


class TestLoadedData:
    @pytest.mark.parametrize("name", MOCKS)
    def test_what_mteb_encodes(self, name, capfd):
        task = getattr(mock_tasks, name)()
        task.load_data()
        size = task_size(task)
        assert capfd.readouterr().err == ""
        encoder = Counting()
        for split in task.eval_splits:
            task.evaluate(encoder, split, encode_kwargs={"batch_size": 8})
        encoded = len(encoder.texts)
        assert encoded > 0
        assert size.documents + size.queries == encoded
        assert size.characters == sum(map(len, encoder.texts))
        assert sum(count for count, _ in size.lengths) <= encoded
        assert sum(count for count, _ in size.lengths) >= len(set(encoder.texts))

    def test_a_local_collection(self):
        collection = Collection(
            documents=[("a", "", "abc"), ("b", "T", "de"), ("c", "", "abc")],
            queries=[("q", "four")],
            qrels={"q": {"a": 1}},
        )
        size = task_size(retrieval_task(collection, name="x", description="Three documents."))
        assert (size.documents, size.queries) == (3, 1)
        assert size.characters == 3 + len("T de") + 3 + 4
        assert size.lengths == ((2, pytest.approx(10 / 3)), (1, 4.0))


def test_shipped_statistics_are_those_of_the_collection_itself(shared):
    read = task_size(folder_task(shared / "data" / "beir" / "scifact"))
    assert read == size_of("SciFact")


def of_lengths(*lengths):
    return TaskSize(
        type="Retrieval",
        splits=("test",),
        subsets=("default",),
        documents=sum(count for count, _ in lengths),
        queries=0,
        characters=round(sum(count * mean for count, mean in lengths)),
        lengths=lengths,
    )


FORWARD = QuadraticFlops(linear=100, quadratic=2, constant=7)


class TestEstimate:
    def test_by_hand(self):
        cost = estimate(
            of_lengths((10, 40.0), (3, 4_000.0)),
            forward=FORWARD,
            max_length=50,
            characters_per_token=4.0,
            flops_per_second=1_000.0,
        )
        assert cost.tokens == 10 * 10 + 3 * 50  # the long texts are cut
        flops = 10 * (7 + 1_000 + 200) + 3 * (7 + 5_000 + 5_000)
        assert cost.encode_flops == flops
        assert cost.seconds == flops / 1_000

    @pytest.mark.parametrize(
        ("forward", "rate", "unknown"),
        [
            (None, None, ("encode_flops", "seconds")),
            (None, 1.0, ("encode_flops", "seconds")),
            (FORWARD, None, ("seconds",)),
        ],
    )
    def test_what_is_not_given_is_unknown(self, forward, rate, unknown):
        cost = estimate(
            of_lengths((1, 8.0)),
            forward=forward,
            max_length=9,
            characters_per_token=4.0,
            flops_per_second=rate,
        )
        assert cost.tokens == 2
        fields = ("encode_flops", "seconds")
        assert [getattr(cost, name) is None for name in fields] == [n in unknown for n in fields]

    @given(
        lengths=st.lists(st.tuples(st.integers(0, 10**6), st.floats(0, 1e5)), max_size=5),
        shorter=st.integers(1, 500),
        more=st.integers(0, 500),
    )
    def test_a_longer_limit_never_costs_less(self, lengths, shorter, more):
        def cost(limit):
            return estimate(
                of_lengths(*lengths),
                forward=FORWARD,
                max_length=limit,
                characters_per_token=3.5,
                flops_per_second=1e9,
            )

        low, high = cost(shorter), cost(shorter + more)
        assert low.tokens <= high.tokens
        assert low.encode_flops <= high.encode_flops
        assert low.tokens <= sum(count for count, _ in lengths) * shorter
