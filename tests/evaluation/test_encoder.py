"""From a configuration to an encoder: what `auto` stands for, and the parts put together."""

import copy
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from harness.config import (
    AutoHeadConfig,
    AutoInstructionConfig,
    AutoPoolingConfig,
    ClsPoolingConfig,
    DenseConfig,
    EchoPoolingConfig,
    EncoderRunConfig,
    IdentityHeadConfig,
    InspectConfig,
    InstructionConfig,
    LastTokenPoolingConfig,
    LmHeadConfig,
    MeanPoolingConfig,
    MlmHeadConfig,
    RidgeHeadConfig,
    RunConfig,
    TiedHeadConfig,
    build,
    parse,
)
from harness.embedding.encoder import TextEncoder
from harness.embedding.transformers_backend import TransformersBackend
from harness.evaluation.encoder import build_encoder, with_published_settings

AUTO = {group: {"kind": "auto"} for group in ("pooling", "instruction", "head")}
EXPLICIT = {
    "pooling": {"kind": "last_token", "include_instruction": False},
    "instruction": {"kind": "template", "query": "q: {text}", "document": "d: {text}"},
    "head": {"kind": "tied", "normalize": True},
}


@pytest.fixture
def configure(tmp_path):
    """Makes a configuration of a model in a folder; a group that is not given is `auto`."""

    def make(folder, *, cls=EncoderRunConfig, **groups):
        settings = {
            "model": {"kind": "huggingface", "path": str(folder)},
            **AUTO,
            "transform": {"kind": "none"},
            "backend": {"kind": "transformers", "device": "cpu"},
            "tasks": {},
            "store_dir": str(tmp_path / "store"),
            **groups,
        }
        return parse(cls, settings, where="")

    return make


@pytest.fixture
def published(tiny_bert, tmp_path):
    """The tiny BERT as sentence-transformers publishes models: cls, prompts, normalised."""
    folder = tmp_path / "published"
    shutil.copytree(tiny_bert, folder)
    modules = {"": "Transformer", "1_Pooling": "Pooling", "2_Normalize": "Normalize"}
    (folder / "modules.json").write_text(
        json.dumps(
            [
                {
                    "idx": i,
                    "name": str(i),
                    "path": path,
                    "type": f"sentence_transformers.models.{t}",
                }
                for i, (path, t) in enumerate(modules.items())
            ]
        )
    )
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(
        json.dumps({"pooling_mode": "cls", "include_prompt": False})
    )
    prompts = {"query": "query: ", "document": "passage: "}
    (folder / "config_sentence_transformers.json").write_text(
        json.dumps({"prompts": prompts, "default_prompt_name": "query"})
    )
    return folder


def edit(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


class TestWithPublishedSettings:
    def test_auto_is_what_the_folder_says(self, configure, published):
        config = configure(published)
        resolved = with_published_settings(config, build(config.model))
        assert resolved.pooling == ClsPoolingConfig(include_instruction=False)
        assert resolved.instruction == InstructionConfig(
            query="query: {text}", document="passage: {text}", symmetric="query: {text}"
        )
        assert resolved.head == MlmHeadConfig()

    def test_auto_of_a_plain_folder(self, configure, tiny_llama):
        config = configure(tiny_llama)
        resolved = with_published_settings(config, build(config.model))
        assert resolved.pooling == MeanPoolingConfig()
        assert resolved.instruction == InstructionConfig(symmetric="{text}")
        assert resolved.head == LmHeadConfig()

    def test_explicit_settings_are_left_alone(self, configure, published):
        config = configure(published, **EXPLICIT)
        resolved = with_published_settings(config, build(config.model))
        assert resolved.pooling == LastTokenPoolingConfig(include_instruction=False)
        assert resolved.instruction == InstructionConfig(query="q: {text}", document="d: {text}")
        assert resolved.head == TiedHeadConfig(normalize=True)
        for group in EXPLICIT:
            assert getattr(resolved, group) is getattr(config, group)

    @pytest.mark.parametrize("given", EXPLICIT)
    def test_each_group_is_settled_on_its_own(self, configure, published, given):
        config = configure(published, **{given: EXPLICIT[given]})
        resolved = with_published_settings(config, build(config.model))
        all_auto = with_published_settings(configure(published), build(config.model))
        for group in EXPLICIT:
            expected = config if group == given else all_auto
            assert getattr(resolved, group) == getattr(expected, group)

    @pytest.mark.parametrize("groups", [{}, EXPLICIT], ids=["auto", "explicit"])
    def test_the_given_configuration_is_not_changed(self, configure, published, groups):
        config = configure(published, **groups)
        before = copy.deepcopy(config)
        resolved = with_published_settings(config, build(config.model))
        assert resolved is not config
        assert config == before
        if not groups:
            assert config.pooling == AutoPoolingConfig()
            assert config.instruction == AutoInstructionConfig()
            assert config.head == AutoHeadConfig()

    def test_what_is_resolved_stays_so(self, configure, published):
        config = configure(published)
        model = build(config.model)
        once = with_published_settings(config, model)
        assert with_published_settings(once, model) == once

    def test_all_else_is_kept(self, configure, published):
        config = configure(published)
        resolved = with_published_settings(config, build(config.model))
        for name in ("model", "backend", "tasks", "task_instructions", "store_dir", "debug"):
            assert getattr(resolved, name) is getattr(config, name)

    @pytest.mark.parametrize(
        ("cls", "more"),
        [
            (RunConfig, {"cost": {}, "retrieval": {"dense": {"kind": "dense"}}}),
            (InspectConfig, {"text": "a cat"}),
        ],
    )
    def test_every_commands_configuration_keeps_its_class(self, configure, published, cls, more):
        config = configure(published, cls=cls, **more)
        resolved = with_published_settings(config, build(config.model))
        assert type(resolved) is cls
        assert resolved.pooling.kind == "cls"

    @pytest.mark.parametrize(
        ("pooling", "head"),
        [
            ({"kind": "splade"}, IdentityHeadConfig()),
            ({"kind": "mean"}, MlmHeadConfig()),
            ({"kind": "auto"}, MlmHeadConfig()),
        ],
    )
    def test_the_head_follows_the_pooling_that_was_settled(
        self, configure, tiny_bert, pooling, head
    ):
        config = configure(tiny_bert, pooling=pooling)
        assert with_published_settings(config, build(config.model)).head == head

    def test_a_model_without_any_head_is_given_ridge(self, configure, minilm):
        config = configure(minilm.path)
        assert with_published_settings(config, build(config.model)).head == RidgeHeadConfig()

    def test_modes_compare_as_the_model_does_unless_they_say_how(self, configure, published):
        modes = {
            "dense": {"kind": "dense"},
            "cosine": {"kind": "dense", "similarity": "cosine"},
            "bm25": {"kind": "bm25"},
            "hybrid": {"kind": "hybrid", "modes": ["dense", "bm25"]},
        }
        edit(published / "config_sentence_transformers.json", similarity_fn_name="dot")
        config = configure(published, cls=RunConfig, cost={}, retrieval=modes)
        before = copy.deepcopy(config)
        resolved = with_published_settings(config, build(config.model))
        assert config == before
        assert list(resolved.retrieval) == list(modes)
        assert resolved.retrieval["dense"] == DenseConfig(similarity="dot")
        for name in ("cosine", "bm25", "hybrid"):
            assert resolved.retrieval[name] is config.retrieval[name]

    def test_an_unknown_comparison_matters_only_to_who_asks_for_it(
        self, configure, published, refusal
    ):
        edit(published / "config_sentence_transformers.json", similarity_fn_name="euclidean")
        for retrieval in ({"kind": "bm25"}, {"kind": "dense", "similarity": "dot"}):
            config = configure(published, cls=RunConfig, cost={}, retrieval={"one": retrieval})
            resolved = with_published_settings(config, build(config.model))
            assert resolved.retrieval == config.retrieval
        config = configure(published, cls=RunConfig, cost={}, retrieval={"one": {"kind": "dense"}})
        assert "choose model.similarity=" in refusal(
            lambda: with_published_settings(config, build(config.model))
        )

    def test_a_malformed_folder_is_refused(self, configure, published, refusal):
        (published / "modules.json").write_text("{")
        config = configure(published)
        message = refusal(lambda: with_published_settings(config, build(config.model)))
        assert "modules.json" in message

    def test_prompts_are_not_read_where_templates_are_given(self, configure, published, refusal):
        (published / "config_sentence_transformers.json").write_text(
            json.dumps({"prompts": {"query": "{text}"}})
        )
        auto = configure(published)
        assert "choose instruction=" in refusal(
            lambda: with_published_settings(auto, build(auto.model))
        )
        config = configure(published, instruction={"kind": "template"})
        resolved = with_published_settings(config, build(config.model))
        assert resolved.instruction == InstructionConfig()


class TestBuildEncoder:
    def encoder(self, config):
        model = build(config.model)
        return build_encoder(with_published_settings(config, model), model), model

    def test_the_parts(self, configure, published, tmp_path):
        encoder, model = self.encoder(configure(published))
        assert isinstance(encoder, TextEncoder)
        assert encoder.model is model
        assert encoder.store_dir == Path(tmp_path / "store")
        assert isinstance(encoder.backend, TransformersBackend)
        assert encoder.backend.device == "cpu"
        assert not encoder.pooling.include_instruction
        assert encoder.template.config.query == "query: {text}"
        assert encoder.template.task is None
        assert encoder.template.copies == 1
        assert not (tmp_path / "store").exists()

    def test_the_template_is_given_the_copies_of_echo(self, configure, tiny_llama):
        encoder, _ = self.encoder(
            configure(
                tiny_llama,
                pooling={"kind": "echo"},
                instruction={"kind": "template", "query": "q: {text}", "document": "{text}"},
            )
        )
        assert encoder.template.copies == EchoPoolingConfig.copies == 2
        assert encoder.template.pieces("query") == ("q: ", " ", "")
        assert encoder.template.pieces("document") == ("", " ", "")
        assert encoder.layout("query").pieces == ("q: ", " ", "")
        assert encoder.with_template(InstructionConfig()).template.copies == 2

    def test_a_published_prompt_is_echoed_with_its_text(self, configure, published):
        encoder, _ = self.encoder(configure(published, pooling={"kind": "echo"}))
        assert encoder.template.pieces("query") == ("query: ", " ", "")
        found = encoder.fresh(["0"], ["a cat"], "query").embeddings
        written = configure(
            published,
            pooling={"kind": "echo"},
            instruction={"kind": "template", "query": "query: {text} {text}"},
        )
        again, _ = self.encoder(written)
        np.testing.assert_array_equal(again.fresh(["0"], ["a cat"], "query").embeddings, found)
        # The second copy and what follows it, of a text that holds the first as words.
        plain, _ = self.encoder(
            configure(
                published,
                pooling={"kind": "mean", "include_instruction": False},
                instruction={"kind": "template", "query": "query: a cat {text}"},
            )
        )
        np.testing.assert_allclose(
            plain.fresh(["0"], ["a cat"], "query").embeddings, found, rtol=0, atol=1e-6
        )

    def test_a_template_with_two_copies_needs_echo(self, configure, tiny_llama, refusal):
        twice = {"kind": "template", "query": "{text} {text}"}
        message = refusal(lambda: self.encoder(configure(tiny_llama, instruction=twice)))
        assert "use pooling=echo" in message
        echo, _ = self.encoder(
            configure(tiny_llama, instruction=twice, pooling={"kind": "echo", "of": "last_token"})
        )
        assert echo.template.pieces("query") == ("", " ", "")

    def test_the_backend_pools_by_the_settled_pooling(self, configure, tiny_bert):
        encoder, model = self.encoder(configure(tiny_bert, pooling={"kind": "splade"}))
        weights = encoder.fresh(["0"], ["a cat"], "query").embeddings
        assert weights.shape == (1, len(model.tokenizer))
        assert weights.min() == 0
        assert encoder.space("query")["pooling"]["kind"] == "splade"

    def test_encoders_of_auto_and_of_the_same_said_in_full_share_a_space(
        self, configure, published
    ):
        auto, _ = self.encoder(configure(published))
        full, _ = self.encoder(
            configure(
                published,
                pooling={"kind": "cls", "include_instruction": False},
                instruction={
                    "kind": "template",
                    "query": "query: {text}",
                    "document": "passage: {text}",
                    "symmetric": "query: {text}",
                },
                head={"kind": "mlm"},
            )
        )
        for side in ("query", "document", "symmetric"):
            assert auto.space(side) == full.space(side)
