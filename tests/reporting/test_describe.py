import pytest

from harness.reporting.describe import describe, describe_model


def encoder(*, before="", after="", pooling="mean", dtype="float32"):
    side = {
        "weights": "0123",
        "pooling": {"kind": pooling, "include_instruction": True},
        "instruction": [before, after],
        "max_length": 256,
        "dtype": dtype,
    }
    return {"query": side, "document": {**side, "instruction": ["", ""]}, "normalize": True}


SPARSE = {
    "kind": "aligned_sparse",
    "doc_top_k": 128,
    "query_expansion": 0,
    "doc_weight": "raw",
    "query_weight": "binary",
    "drop_special": True,
    "drop_stopwords": False,
}


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (
            {"mode": {"kind": "dense", "similarity": "cosine"}, "encoder": encoder()},
            "cosine, mean pooling, ≤256 tokens",
        ),
        (
            {
                "mode": {"kind": "dense", "similarity": "dot"},
                "encoder": encoder(before="query: ", pooling="last_token", dtype="bfloat16"),
            },
            "dot, last_token pooling, ≤256 tokens, query “query: …”, bfloat16",
        ),
        (
            {
                "mode": {"kind": "bm25", "k1": 0.9, "b": 0.4, "method": "lucene", "stemmer": None},
                "bm25s": "0.3.16",
            },
            "k1 = 0.9, b = 0.4, no stemmer",
        ),
        (
            {"mode": {**SPARSE, "query_weight": "score"}},
            "K = 128, M = 0, raw document weights, score query weights",
        ),
        (
            {"mode": SPARSE, "head": {"kind": "ridge", "regularisation": 0.1, "version": 1}},
            "K = 128, M = 0 (inference-free), raw document weights, binary query weights, "
            "ridge head, λ = 0.1",
        ),
        (
            {
                "mode": {**SPARSE, "query_expansion": 8, "drop_special": False, "doc_norm": "none"},
                "head": {"kind": "lm_head", "path": None, "normalize": True, "weights": "9f"},
            },
            "K = 128, M = 8, raw document weights, binary query weights, no drop special, "
            "none document norm, lm_head, normalize",
        ),
        (
            {
                "mode": {**SPARSE, "doc_weight": "log1p", "query_weight": "idf"},
                "head": {
                    "kind": "whole_word",
                    "subwords": "max",
                    "of": {
                        "kind": "ridge",
                        "regularisation": "self_retrieval",
                        "transform": {"kind": "pc1", "weight": -0.2, "reference": None},
                    },
                },
            },
            "K = 128, M = 0 (inference-free), idf query weights, whole_word head of ridge head, "
            "subwords max, pc1 transform, weight -0.2",
        ),
        (
            {
                "mode": {
                    "kind": "hybrid",
                    "modes": ["dense", "bm25"],
                    "fusion": "rrf",
                    "weights": [0.3, 0.7],
                    "depth": 1000,
                    "rrf_k": 60.0,
                }
            },
            "dense + bm25, rrf fusion, weights 0.3 + 0.7",
        ),
        (
            {"mode": {"kind": "of_tomorrow", "beam_width": 4}},
            "beam width 4",
        ),
    ],
)
def test_settings_that_name_a_mode_or_differ_from_its_defaults_are_told(settings, words):
    assert describe(settings) == words


def test_a_model_is_told_by_what_decides_its_embeddings():
    side = {
        "pooling": {"kind": "mean", "include_instruction": False},
        "instruction": {"pieces": ["<|embed|>\n", ""], "strip": "none"},
        "max_length": 512,
        "attention": "bidirectional",
        "dtype": "float32",
    }
    bare = {**side, "instruction": {"pieces": ["", ""], "strip": "none"}}
    words = describe_model({"query": side, "document": bare}, {"kind": "lm_head", "weights": "9f"})
    assert words == (
        "mean pooling, instruction left out, ≤512 tokens, query “<|embed|>⏎…”, "
        "bidirectional attention, lm_head"
    )


def test_a_long_template_is_cut():
    long = describe(
        {"mode": {"kind": "dense", "similarity": "cosine"}, "encoder": encoder(before="x" * 99)}
    )
    assert long.endswith("query “" + "x" * 39 + "…”")
