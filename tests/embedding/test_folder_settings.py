"""A sentence-transformers folder gives the embeddings that sentence-transformers gives.

Tiny random models (BERT, Llama, a T5 encoder) are saved by sentence-transformers itself, or laid
out as its older releases did, and read as `model=local` reads them. What the harness cannot do is
refused in one line that says what to do instead.
"""

import json
import shutil

import numpy as np
import pytest

from harness.alignment.head import normalise
from harness.config import DenseConfig, EncoderRunConfig, RunConfig, build, parse
from harness.embedding.folder_settings import FolderSettings, read_folder_settings
from harness.evaluation.encoder import build_encoder, with_published_settings
from harness.retrieval.retriever import Dependencies

pytestmark = pytest.mark.usefixtures("one_thread")

TEXTS = [
    "The quick brown fox jumps over the lazy dog.",
    "cat",
    "",
    "He said yes and then no and then yes again, and the cat sat on the mat. " * 12,
    "THE CAT sat ON the Mat",
    "naïve café, Ünïcödé ĳ — 猫は小さい動物です 🐈‍⬛ e\u0301 \u200b İstanbul",
    "  spaces   around,\ttabs\nand lines  ",
    "a small animal " * 7,
    "what is a cat?",
    "query: passage: cat",
]
SIDES = {"query": "encode_query", "document": "encode_document", "symmetric": "encode"}
AUTO = {group: {"kind": "auto"} for group in ("pooling", "instruction", "head")}
MODES = ("mean", "cls", "max", "lasttoken", "weightedmean")


def encoder_of(folder, *, store="nowhere", model=None, **groups):
    """The encoder that `model=local model.path=FOLDER` builds, with more settings."""
    settings = {
        "model": {"kind": "huggingface", "path": str(folder), **(model or {})},
        **AUTO,
        "transform": {"kind": "none"},
        "backend": {"kind": "transformers", "device": "cpu"},
        "tasks": {},
        "store_dir": str(store),
        **groups,
    }
    config = parse(EncoderRunConfig, settings, where="")
    model = build(config.model)
    return build_encoder(with_published_settings(config, model), model)


def embeddings_of(encoder, side="document", texts=TEXTS):
    ids = [str(number) for number in range(len(texts))]
    embeddings = encoder.fresh(ids, texts, side).embeddings
    return normalise(embeddings) if encoder.model.normalize else embeddings


def published(folder):
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(str(folder), device="cpu")


def assert_equal_to_sentence_transformers(encoder, folder, *, sides=SIDES):
    reference = published(folder)
    for side in sides:
        expected = getattr(reference, SIDES[side])(TEXTS, show_progress_bar=False)
        found = embeddings_of(encoder, side)
        assert found.shape == expected.shape
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4, err_msg=side)


def edit(path, **changes):
    settings = json.loads(path.read_text()) if path.is_file() else {}
    path.write_text(json.dumps(settings | changes))


@pytest.fixture(scope="session")
def decoder(tiny_llama, tmp_path_factory):
    """The tiny Llama; its tokenizer pads on the left, as published decoders do."""
    folder = tmp_path_factory.mktemp("decoder") / "llama"
    shutil.copytree(tiny_llama, folder)
    edit(folder / "tokenizer_config.json", pad_token="</s>", padding_side="left")
    return folder


@pytest.fixture(scope="session")
def t5(tmp_path_factory):
    """A random T5 encoder with a SentencePiece-like tokenizer that ends a text with `</s>`."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast, T5Config, T5EncoderModel

    folder = tmp_path_factory.mktemp("t5") / "t5"
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    special = ["<pad>", "</s>", "<unk>"]
    tokenizer.train_from_iterator(
        TEXTS,
        trainers.UnigramTrainer(
            vocab_size=120, special_tokens=special, unk_token="<unk>", show_progress=False
        ),
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", 1)]
    )
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        eos_token="</s>",
        unk_token="<unk>",
        model_max_length=48,
    ).save_pretrained(folder)
    config = T5Config(
        vocab_size=tokenizer.get_vocab_size(),
        d_model=16,
        d_kv=4,
        d_ff=32,
        num_layers=2,
        num_heads=4,
    )
    with torch.random.fork_rng():
        torch.manual_seed(5)
        T5EncoderModel(config).eval().save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def cased_bert(tiny_bert, tmp_path_factory):
    """The tiny BERT with a tokenizer that does not lower-case: capitals are unknown to it."""
    folder = tmp_path_factory.mktemp("cased") / "bert"
    shutil.copytree(tiny_bert, folder)
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    tokenizer["normalizer"]["lowercase"] = False
    tokenizer["normalizer"]["strip_accents"] = False
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    return folder


@pytest.fixture
def save(tmp_path):
    """Save a model as sentence-transformers does: backbone, pooling, further modules."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer

    def make(backbone, mode="mean", *modules, include_prompt=True, transformer=None, **settings):
        folder = tmp_path / "saved"
        pooling = Pooling(16, mode, include_prompt=include_prompt)
        reader = Transformer(str(backbone), **(transformer or {}))
        SentenceTransformer(modules=[reader, pooling, *modules], device="cpu", **settings).save(
            str(folder), create_model_card=False
        )
        return folder

    with torch.random.fork_rng():
        torch.manual_seed(11)
        yield make


def dense(size_in, size_out, activation="Tanh", *, bias=True):
    import torch
    from sentence_transformers.sentence_transformer.modules import Dense

    layer = Dense(size_in, size_out, bias=bias, activation_function=getattr(torch.nn, activation)())
    torch.nn.init.normal_(layer.linear.weight, std=0.5)
    if bias:
        torch.nn.init.normal_(layer.linear.bias)
    return layer


def l2():
    from sentence_transformers.sentence_transformer.modules import Normalize

    return Normalize()


@pytest.fixture
def backbone(request):
    return request.getfixturevalue(request.param)


BACKBONES = pytest.mark.parametrize("backbone", ["tiny_bert", "decoder", "t5"], indirect=True)


class TestEqualToSentenceTransformers:
    @BACKBONES
    @pytest.mark.parametrize("mode", MODES)
    def test_every_pooling_of_every_kind_of_backbone(self, save, backbone, mode):
        folder = save(backbone, mode)
        encoder = encoder_of(folder)
        assert not encoder.model.normalize
        assert_equal_to_sentence_transformers(encoder, folder)

    @BACKBONES
    @pytest.mark.parametrize("mode", MODES)
    def test_with_dense_layers_normalised_and_prompted(self, save, backbone, mode):
        prompts = {"query": "what is", "document": "a small animal:"}
        layers = [dense(16, 24, "GELU"), dense(24, 12, "Identity", bias=False), l2()]
        folder = save(backbone, mode, *layers, prompts=prompts)
        encoder = encoder_of(folder)
        assert encoder.model.normalize
        assert_equal_to_sentence_transformers(encoder, folder)
        assert embeddings_of(encoder).shape[1] == 12

    def test_gtr_t5(self, save, t5):
        folder = save(t5, "mean", dense(16, 16, "Identity", bias=False), l2())
        assert_equal_to_sentence_transformers(encoder_of(folder), folder)

    def test_dropout_has_no_effect(self, save, tiny_bert):
        from sentence_transformers.sentence_transformer.modules import Dropout

        folder = save(tiny_bert, "mean", Dropout(0.5), dense(16, 8))
        assert_equal_to_sentence_transformers(encoder_of(folder), folder)

    @pytest.mark.parametrize("mode", ["mean", "cls", "max", "lasttoken"])
    @pytest.mark.parametrize("include_prompt", [True, False])
    def test_a_prompt_is_pooled_or_not(self, save, tiny_bert, mode, include_prompt):
        prompts = {"query": "query: what is ", "document": "passage: "}
        folder = save(tiny_bert, mode, include_prompt=include_prompt, prompts=prompts)
        encoder = encoder_of(folder)
        assert encoder.pooling.include_instruction == include_prompt
        assert_equal_to_sentence_transformers(encoder, folder)

    def test_a_decoders_prompt_is_not_pooled(self, save, decoder):
        # One that ends in a space would share a token with the text, which sentence-transformers
        # counts as the prompt's and the harness as the text's.
        prompts = {"query": 'means in one word:"', "document": "passage:"}
        folder = save(decoder, "mean", include_prompt=False, prompts=prompts)
        assert_equal_to_sentence_transformers(encoder_of(folder), folder)

    @pytest.mark.parametrize(
        "prompts",
        [
            {"query": "query: ", "document": "passage: "},
            {"query": "query: "},
            {"document": "passage: "},
            {"symmetric": "cat: "},
            {"query": "", "document": ""},
            {},
        ],
        ids=lambda prompts: "+".join(prompts) or "none",
    )
    def test_prompts_of_either_side(self, save, tiny_bert, prompts):
        folder = save(tiny_bert, prompts=prompts)
        assert_equal_to_sentence_transformers(encoder_of(folder), folder)

    @pytest.mark.parametrize("name", ["query", "document", "STS"])
    def test_the_default_prompt_is_that_of_texts_without_a_side(self, save, tiny_bert, name):
        prompts = {"query": "query: ", "document": "passage: ", "STS": "cat: "}
        folder = save(tiny_bert, prompts=prompts, default_prompt_name=name)
        encoder = encoder_of(folder)
        assert_equal_to_sentence_transformers(encoder, folder)
        symmetric = encoder.template.pieces("symmetric")
        assert symmetric == (prompts[name], "")

    def test_the_default_prompt_is_not_that_of_a_side_without_one(self, save, tiny_bert):
        folder = save(tiny_bert, prompts={"STS": "cat: "}, default_prompt_name="STS")
        encoder = encoder_of(folder)
        assert_equal_to_sentence_transformers(encoder, folder)
        assert encoder.template.pieces("query") == encoder.template.pieces("document") == ("", "")

    def test_a_prompt_that_is_null_is_none(self, save, tiny_bert):
        folder = save(tiny_bert)
        prompts = {"query": None, "document": "passage: "}
        edit(folder / "config_sentence_transformers.json", prompts=prompts)
        encoder = encoder_of(folder)
        assert_equal_to_sentence_transformers(encoder, folder)
        assert encoder.template.pieces("query") == ("", "")

    @pytest.mark.parametrize("names", [("passage",), ("corpus",), ("passage", "corpus")])
    @pytest.mark.parametrize("beside", [{}, {"document": ""}], ids=["alone", "beside-an-empty-one"])
    def test_a_documents_prompt_may_have_an_older_name(self, save, tiny_bert, names, beside):
        # sentence-transformers saves an empty `document` beside it, which is then no prompt either.
        folder = save(tiny_bert)
        prompts = {"query": "query: "} | beside | {name: f"{name}: " for name in names}
        edit(folder / "config_sentence_transformers.json", prompts=prompts)
        reference = published(folder)
        found = embeddings_of(encoder_of(folder), "document")
        expected = reference.encode(TEXTS, prompt_name=names[0], show_progress_bar=False)
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)

    @pytest.mark.parametrize("length", [9, 20, 64])
    def test_the_longest_input_as_it_is_saved(self, save, tiny_bert, length):
        folder = save(tiny_bert, transformer={"max_seq_length": length})
        encoder = encoder_of(folder)
        assert encoder.model.max_length == length
        assert_equal_to_sentence_transformers(encoder, folder)

    @BACKBONES
    @pytest.mark.parametrize("length", [9, 33])
    def test_the_longest_input_of_sentence_bert_config(self, save, backbone, length):
        folder = save(backbone, prompts={"query": "what is", "document": "passage:"})
        edit(folder / "sentence_bert_config.json", max_seq_length=length)
        encoder = encoder_of(folder)
        assert encoder.model.max_length == length
        assert_equal_to_sentence_transformers(encoder, folder)

    def test_null_is_no_longest_input(self, save, tiny_bert):
        folder = save(tiny_bert, transformer={"max_seq_length": 20})
        edit(folder / "sentence_bert_config.json", max_seq_length=None)
        encoder = encoder_of(folder)
        assert encoder.model.max_length == 20
        assert_equal_to_sentence_transformers(encoder, folder)

    @pytest.mark.parametrize(
        "kind", ["roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet"]
    )
    def test_the_longest_input_of_files_with_older_names(self, save, tiny_bert, kind):
        folder = save(tiny_bert)
        settings = folder / f"sentence_{kind}_config.json"
        (folder / "sentence_bert_config.json").rename(settings)
        edit(settings, max_seq_length=9)
        encoder = encoder_of(folder)
        assert encoder.model.max_length == 9
        assert_equal_to_sentence_transformers(encoder, folder)

    @pytest.mark.parametrize("key", ["processor_kwargs", "tokenizer_args"])
    def test_the_longest_input_among_the_tokenizers_settings(self, save, tiny_bert, key):
        folder = save(tiny_bert)
        edit(folder / "sentence_bert_config.json", **{key: {"model_max_length": 9}})
        encoder = encoder_of(folder)
        assert encoder.model.max_length == 9
        assert_equal_to_sentence_transformers(encoder, folder)

    def test_t5_reads_beyond_its_number_of_positions(self, save, t5):
        folder = save(t5)
        edit(folder / "config.json", n_positions=12)
        edit(folder / "sentence_bert_config.json", max_seq_length=33)
        encoder = encoder_of(folder)
        assert encoder.model.max_length == 33
        assert_equal_to_sentence_transformers(encoder, folder)

    @pytest.mark.parametrize("lower", [True, False])
    def test_lower_case(self, save, cased_bert, lower):
        folder = save(cased_bert)
        edit(folder / "sentence_bert_config.json", do_lower_case=lower)
        encoder = encoder_of(folder)
        assert_equal_to_sentence_transformers(encoder, folder)
        upper, mixed = embeddings_of(encoder, texts=["THE CAT", "the cat"])
        assert np.allclose(upper, mixed) == lower

    def test_lower_case_as_it_is_saved(self, save, cased_bert):
        folder = save(cased_bert, transformer={"do_lower_case": True})
        encoder = encoder_of(folder)
        assert_equal_to_sentence_transformers(encoder, folder)
        upper, mixed = embeddings_of(encoder, texts=["THE CAT", "the cat"])
        np.testing.assert_array_equal(upper, mixed)

    def test_lower_case_is_part_of_the_space(self, save, cased_bert, tmp_path):
        folder = save(cased_bert)
        spaces = []
        for lower in (False, True):
            edit(folder / "sentence_bert_config.json", do_lower_case=lower)
            encoder = encoder_of(folder, store=tmp_path / "store")
            stored = encoder.texts(["0"], ["THE CAT"], "query").embeddings
            fresh = encoder.fresh(["0"], ["THE CAT"], "query").embeddings
            np.testing.assert_array_equal(stored, fresh)
            spaces.append(encoder.space("query"))
        assert [space["lower_case"] for space in spaces] == [False, True]

    def test_lower_case_of_a_tokenizer_without_normaliser(self, save, decoder):
        folder = save(decoder)
        edit(folder / "sentence_bert_config.json", do_lower_case=True)
        assert_equal_to_sentence_transformers(encoder_of(folder), folder)

    def test_through_the_store_and_the_command_line(self, save, tiny_bert, tmp_path):
        from hydra import compose, initialize_config_dir

        from harness.cli import config_folder

        prompts = {"query": "query: ", "document": "passage: "}
        folder = save(tiny_bert, "cls", dense(16, 8), l2(), prompts=prompts)
        overrides = ["model=local", f"model.path={folder}", f"store_dir={tmp_path}/store"]
        with initialize_config_dir(str(config_folder()), version_base="1.3"):
            composed = compose("run", overrides=[*overrides, "backend.device=cpu"])
        config = parse(RunConfig, composed, where="")
        model = build(config.model)
        encoder = build_encoder(with_published_settings(config, model), model)
        assert_equal_to_sentence_transformers(encoder, folder)
        ids = [str(number) for number in range(len(TEXTS))]
        for side in SIDES:
            fresh = encoder.fresh(ids, TEXTS, side).embeddings
            for _ in range(2):  # encoded, then read
                stored = encoder.texts(ids, TEXTS, side).embeddings
                np.testing.assert_array_equal(stored, fresh)


class TestSimilarity:
    @pytest.mark.parametrize("name", ["cosine", "dot", None])
    @pytest.mark.parametrize("normalised", [True, False])
    def test_scores_are_those_of_sentence_transformers(self, save, tiny_bert, name, normalised):
        folder = save(tiny_bert, "mean", *([l2()] if normalised else []), similarity_fn_name=name)
        encoder = encoder_of(folder)
        assert encoder.model.similarity == (name or "cosine")
        mode = build(
            DenseConfig(similarity=encoder.model.similarity),
            dependencies=Dependencies(name="dense", encoder=encoder, head=None, retrievers={}),
        )
        ids = [str(number) for number in range(len(TEXTS))]
        mode.index(encoder.fresh(ids, TEXTS, "document"))
        found = mode.search(encoder.fresh(ids, TEXTS, "query"), len(TEXTS))
        reference = published(folder)
        queries, documents = reference.encode_query(TEXTS), reference.encode_document(TEXTS)
        expected = reference.similarity(queries, documents).numpy()
        for row, scores in enumerate(expected):
            np.testing.assert_allclose(
                found.scores[row], scores[found.documents[row]], rtol=1e-6, atol=1e-4
            )

    def test_without_a_name_it_is_cosine(self, save, tiny_bert):
        folder = save(tiny_bert, similarity_fn_name="dot")
        (folder / "config_sentence_transformers.json").unlink()
        assert encoder_of(folder).model.similarity == "cosine"
        assert published(folder).similarity_fn_name == "cosine"

    @pytest.mark.parametrize("name", ["euclidean", "manhattan"])
    def test_distances_are_refused_where_none_is_configured(self, save, tiny_bert, name, refusal):
        folder = save(tiny_bert, similarity_fn_name=name)
        message = refusal(lambda: encoder_of(folder).model.similarity)
        assert f"{folder} compares embeddings by {name!r}" in message
        assert "choose model.similarity=cosine or dot" in message
        configured = encoder_of(folder, model={"similarity": "dot"})
        assert configured.model.similarity == "dot"

    def test_a_configured_one_wins(self, save, tiny_bert):
        folder = save(tiny_bert, similarity_fn_name="dot")
        assert encoder_of(folder, model={"similarity": "cosine"}).model.similarity == "cosine"


def in_older_format(folder, saved, *, mode, layers=0, normalize=False, **limits):
    """Lay a saved model out as sentence-transformers 0.3 to 2 did."""
    keys = {
        "cls": "pooling_mode_cls_token",
        "mean": "pooling_mode_mean_tokens",
        "max": "pooling_mode_max_tokens",
        "weightedmean": "pooling_mode_weightedmean_tokens",
        "lasttoken": "pooling_mode_lasttoken",
    }
    folder.mkdir()
    transformer = folder / "0_Transformer"
    transformer.mkdir()
    for file in saved.iterdir():
        if file.is_file() and "sentence" not in file.name and file.name != "modules.json":
            shutil.copy(file, transformer)
    edit(transformer / "sentence_bert_config.json", **limits)
    names = ["0_Transformer", "1_Pooling"]
    (folder / "1_Pooling").mkdir()
    flags = {key: name == mode for name, key in keys.items()}
    edit(
        folder / "1_Pooling" / "config.json",
        word_embedding_dimension=16,
        pooling_mode_mean_sqrt_len_tokens=False,
        **flags,
    )
    for number in range(2, 2 + layers):
        names.append(f"{number}_Dense")
        shutil.copytree(saved / f"{number}_Dense", folder / names[-1])
        settings = json.loads((folder / names[-1] / "config.json").read_text())
        for key in ("module_input_name", "module_output_name"):
            del settings[key]
        (folder / names[-1] / "config.json").write_text(json.dumps(settings))
    if normalize:
        names.append(f"{len(names)}_Normalize")
        (folder / names[-1]).mkdir()
    modules = [
        {
            "idx": place,
            "name": str(place),
            "path": name,
            "type": f"sentence_transformers.models.{name.partition('_')[2]}",
        }
        for place, name in enumerate(names)
    ]
    (folder / "modules.json").write_text(json.dumps(modules))
    return folder


class TestOlderFormat:
    @BACKBONES
    @pytest.mark.parametrize("mode", MODES)
    def test_equal_to_sentence_transformers(self, save, backbone, tmp_path, mode):
        saved = save(backbone, mode, dense(16, 8), dense(8, 4, "Identity"), l2())
        folder = in_older_format(
            tmp_path / "older", saved, mode=mode, layers=2, normalize=True, max_seq_length=24
        )
        encoder = encoder_of(folder)
        assert encoder.model.max_length == 24
        assert encoder.model.normalize
        assert_equal_to_sentence_transformers(encoder, folder)

    def test_lower_case_and_prompts(self, save, cased_bert, tmp_path):
        folder = in_older_format(
            tmp_path / "older",
            save(cased_bert),
            mode="mean",
            max_seq_length=30,
            do_lower_case=True,
        )
        edit(folder / "config_sentence_transformers.json", prompts={"query": "query: "})
        assert_equal_to_sentence_transformers(encoder_of(folder), folder)

    def test_without_any_mode_the_mean_is_taken(self, save, tiny_bert, tmp_path):
        folder = in_older_format(tmp_path / "older", save(tiny_bert), mode=None)
        assert_equal_to_sentence_transformers(encoder_of(folder), folder)

    def test_a_list_of_one_mode_is_that_mode(self, save, tiny_bert):
        folder = save(tiny_bert, "max")
        edit(folder / "1_Pooling" / "config.json", pooling_mode=["max"])
        assert_equal_to_sentence_transformers(encoder_of(folder), folder)

    def test_the_newer_key_wins_over_the_older_ones(self, save, tiny_bert):
        folder = save(tiny_bert, "cls")
        edit(folder / "1_Pooling" / "config.json", pooling_mode_mean_tokens=True)
        assert_equal_to_sentence_transformers(encoder_of(folder), folder)


class TestPlainFolders:
    def test_without_modules_nothing_is_published(self, tiny_bert):
        assert read_folder_settings(tiny_bert) == FolderSettings()

    def test_auto_then_means_the_mean_and_no_prompt(self, tiny_bert):
        encoder = encoder_of(tiny_bert)
        assert encoder.template.pieces("query") == ("", "")
        mean = encoder_of(tiny_bert, pooling={"kind": "mean"})
        np.testing.assert_array_equal(embeddings_of(encoder), embeddings_of(mean))

    def test_the_mean_is_sentence_transformers_own_default_too(self, tiny_bert):
        assert_equal_to_sentence_transformers(encoder_of(tiny_bert), tiny_bert)


class TestConfiguredSettingsWin:
    @pytest.fixture
    def folder(self, save, tiny_bert):
        prompts = {"query": "query: ", "document": "passage: "}
        folder = save(tiny_bert, "cls", l2(), prompts=prompts)
        edit(folder / "sentence_bert_config.json", max_seq_length=20)
        return folder

    def test_pooling(self, folder):
        reference = published(folder)
        reference[1].pooling_mode = "mean"
        expected = reference.encode_document(TEXTS)
        found = embeddings_of(encoder_of(folder, pooling={"kind": "mean"}))
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)
        assert np.abs(found - embeddings_of(encoder_of(folder))).max() > 0.1

    def test_instruction(self, folder):
        templates = {"kind": "template", "query": "cat: {text}", "document": "{text}"}
        encoder = encoder_of(folder, instruction=templates)
        reference = published(folder)
        for side, prompt in (("query", "cat: "), ("document", ""), ("symmetric", "cat: ")):
            expected = reference.encode(TEXTS, prompt=prompt)
            np.testing.assert_allclose(embeddings_of(encoder, side), expected, rtol=0, atol=1e-4)

    @pytest.mark.parametrize("length", [11, 40])
    def test_max_length(self, folder, length):
        encoder = encoder_of(folder, model={"max_length": length})
        assert encoder.model.max_length == length
        reference = published(folder)
        reference.max_seq_length = length
        np.testing.assert_allclose(
            embeddings_of(encoder), reference.encode_document(TEXTS), rtol=0, atol=1e-4
        )

    def test_a_published_length_above_the_models_positions_is_not_believed(self, folder):
        edit(folder / "sentence_bert_config.json", max_seq_length=1000)
        assert encoder_of(folder).model.max_length == 64

    @pytest.mark.parametrize("normalize", [True, False])
    def test_normalize(self, folder, normalize):
        assert encoder_of(folder).model.normalize is True
        assert encoder_of(folder, model={"normalize": normalize}).model.normalize is normalize
        bare = [entry for entry in _modules(folder) if not entry["type"].endswith("Normalize")]
        write_modules(folder, bare)
        assert encoder_of(folder, model={"normalize": normalize}).model.normalize is normalize
        assert encoder_of(folder).model.normalize is False


def _modules(folder):
    return json.loads((folder / "modules.json").read_text())


def write_modules(folder, modules):
    (folder / "modules.json").write_text(json.dumps(modules))


class TestRefusals:
    @pytest.fixture
    def folder(self, save, tiny_bert):
        return save(tiny_bert, "mean", dense(16, 8), l2())

    @pytest.mark.parametrize(
        "kind", ["LSTM", "CNN", "LayerNorm", "WeightedLayerPooling", "StaticEmbedding", "Router"]
    )
    def test_unknown_modules(self, folder, kind, refusal):
        modules = _modules(folder)
        modules[2]["type"] = f"sentence_transformers.models.{kind}"
        write_modules(folder, modules)
        message = refusal(lambda: encoder_of(folder))
        assert str(folder / "modules.json") in message
        assert f"asks for {kind}, which is not supported" in message
        assert "remove modules.json and choose pooling=" in message

    @pytest.mark.parametrize(
        "kind",
        [
            "my_code.Pooling",
            "Pooling",
            "sentence_transformers_too.models.Pooling",
            "my_code.sentence_transformers.models.Pooling",
        ],
    )
    def test_classes_that_are_not_sentence_transformers(self, folder, kind, refusal):
        modules = _modules(folder)
        modules[1]["type"] = kind
        write_modules(folder, modules)
        message = refusal(lambda: encoder_of(folder))
        assert str(folder / "modules.json") in message
        assert f"asks for {kind}, code of its own, which is never run" in message
        assert "remove modules.json and choose pooling=" in message

    @pytest.mark.parametrize(
        ("order", "misplaced"),
        [
            ((0, 1, 3, 2), "Dense"),
            ((0, 2, 1, 3), "Dense"),
            ((0, 3, 1, 2), "Normalize"),
            ((0, 1, 2, 3, 3), "Normalize"),
            ((0, 1, 1, 2, 3), "Pooling"),
            ((0, 1, 2, 1), "Pooling"),
            ((1, 0, 2, 3), "Pooling"),
            ((0, 0, 1, 2, 3), "Transformer"),
            ((0, 1, 0), "Transformer"),
            ((1, 2, 3), "Pooling"),  # no Transformer
            ((2, 3), "Dense"),
            ((3,), "Normalize"),
        ],
    )
    def test_modules_out_of_order(self, folder, order, misplaced, refusal):
        modules = _modules(folder)
        write_modules(folder, [modules[place] for place in order])
        message = refusal(lambda: encoder_of(folder))
        assert f"{folder / 'modules.json'} has {misplaced} out of place" in message
        assert "transformer, pooling, dense layers, normalisation" in message
        assert "remove modules.json and choose pooling=" in message

    @pytest.mark.parametrize("kinds", [(), ("Dropout",)], ids=["empty", "dropout"])
    def test_no_module_that_reads_texts(self, folder, kinds, refusal):
        entries = [{"path": "", "type": f"sentence_transformers.models.{kind}"} for kind in kinds]
        write_modules(folder, entries)
        message = refusal(lambda: encoder_of(folder))
        assert message == f"{folder / 'modules.json'} names no Transformer; fetch the model again"

    @pytest.mark.parametrize("module", ["2_Dense", "3_Normalize"])
    @pytest.mark.parametrize(
        ("wiring", "named"),
        [
            ({"module_input_name": "token_embeddings"}, "'token_embeddings' and "),
            ({"module_output_name": "other"}, " and 'other'"),
            ({"module_input_name": "", "module_output_name": 3}, "'' and 3"),
        ],
    )
    def test_modules_on_something_else_than_the_embedding(
        self, folder, module, wiring, named, refusal
    ):
        edit(folder / module / "config.json", **wiring)
        message = refusal(lambda: encoder_of(folder))
        assert message.startswith(f"{folder / module / 'config.json'} reads or writes ")
        assert named in message
        assert "only modules on the embedding are supported" in message

    def test_a_wired_module_as_it_is_saved(self, save, tiny_bert, refusal):
        layer = dense(16, 16)
        layer.module_output_name = "other"
        message = refusal(lambda: encoder_of(save(tiny_bert, "mean", layer)))
        assert "reads or writes 'sentence_embedding' and 'other'" in message

    @pytest.mark.parametrize(
        ("mode", "named"),
        [
            ("mean_sqrt_len_tokens", "'mean_sqrt_len_tokens'"),
            (["cls", "mean"], "['cls', 'mean']"),
            (["mean", "max", "lasttoken"], "['mean', 'max', 'lasttoken']"),
            ("attention", "'attention'"),
            ("", "''"),
            (5, "5"),
            (True, "True"),
            ({}, "{}"),
            ([], "[]"),
            ([{}], "{}"),
        ],
        ids=str,
    )
    def test_pooling_modes(self, folder, mode, named, refusal):
        edit(folder / "1_Pooling" / "config.json", pooling_mode=mode)
        message = refusal(lambda: encoder_of(folder))
        assert f"{folder} pools by {named}, which is not supported" in message
        assert "choose pooling=" in message

    def test_two_modes_in_the_older_format(self, save, tiny_bert, tmp_path, refusal):
        folder = in_older_format(tmp_path / "older", save(tiny_bert), mode="mean")
        edit(folder / "1_Pooling" / "config.json", pooling_mode_max_tokens=True)
        assert "pools by ['max', 'mean']" in refusal(lambda: encoder_of(folder))

    @pytest.mark.parametrize("path", ["../elsewhere", "1_Pooling/../..", "..", "/etc"])
    @pytest.mark.parametrize("place", [0, 1, 2])
    def test_paths_that_leave_the_folder(self, folder, path, place, refusal):
        modules = _modules(folder)
        modules[place]["path"] = path
        write_modules(folder, modules)
        message = refusal(lambda: encoder_of(folder))
        assert f"names {path!r}, which is outside the model's folder" in message

    @pytest.mark.parametrize(
        "content",
        [
            b"",
            b"{",
            b"null",
            b"3",
            b'{"idx": 0}',
            b'["Transformer"]',
            b'[{"type": "Transformer"}]',
            b'[{"path": ""}]',
            b"[null]",
            b"\xff\xfe",
        ],
    )
    def test_malformed_modules(self, folder, content, refusal):
        (folder / "modules.json").write_bytes(content)
        message = refusal(lambda: encoder_of(folder))
        assert str(folder / "modules.json") in message
        assert "no list of modules; fetch the model again" in message

    @pytest.mark.parametrize(
        "file",
        [
            "config_sentence_transformers.json",
            "sentence_bert_config.json",
            "1_Pooling/config.json",
            "2_Dense/config.json",
        ],
    )
    @pytest.mark.parametrize("content", ["{", "[]"])
    def test_files_that_are_no_json_objects(self, folder, file, content, refusal):
        (folder / file).write_text(content)
        message = refusal(lambda: embeddings_of(encoder_of(folder)))
        assert str(folder / file) in message

    @pytest.mark.parametrize("file", ["1_Pooling/config.json", "2_Dense/config.json"])
    def test_missing_files_of_modules(self, folder, file, refusal):
        (folder / file).unlink()
        assert str(folder / file) in refusal(lambda: embeddings_of(encoder_of(folder)))

    @pytest.mark.parametrize("prompts", [["query: "], {"query": 3}, {"document": ["a"]}, "query: "])
    def test_prompts_that_are_no_texts(self, folder, prompts, refusal):
        edit(folder / "config_sentence_transformers.json", prompts=prompts)
        message = refusal(lambda: encoder_of(folder))
        assert str(folder / "config_sentence_transformers.json") in message
        assert "prompts must map names to texts" in message

    @pytest.mark.parametrize(
        ("key", "name", "said"),
        [
            *(
                ("default_prompt_name", name, "is none of its prompts")
                for name in ([], {"query": 1}, "absent", "", 3)
            ),
            *(("similarity_fn_name", name, "is no name") for name in ([], {"cosine": 1}, 3, True)),
        ],
        ids=str,
    )
    def test_names_that_name_nothing(self, folder, key, name, said, refusal):
        file = folder / "config_sentence_transformers.json"
        edit(file, **{key: name})
        assert refusal(lambda: encoder_of(folder)) == f"{file}: {key}={name!r} {said}"

    @pytest.mark.parametrize("hole", ["{text}", "{instruction}"])
    @pytest.mark.parametrize("side", ["query", "document", "STS"])
    def test_prompts_that_hold_places_of_templates(self, folder, side, hole, refusal):
        edit(
            folder / "config_sentence_transformers.json",
            prompts={"query": "", "document": ""} | {side: f"Instruct: {hole}"},
            default_prompt_name="STS" if side == "STS" else None,
        )
        message = refusal(lambda: encoder_of(folder))
        assert "hold {text} or {instruction}; choose instruction=" in message
        configured = {"kind": "template"}
        assert encoder_of(folder, instruction=configured).template.pieces("query") == ("", "")

    def test_prompts_with_another_word_in_braces(self, save, tiny_bert, refusal):
        folder = save(tiny_bert, prompts={"query": "about {topic}: "})
        message = refusal(lambda: encoder_of(folder))
        assert f"prompts of {folder}" in message
        assert "holds {topic}" in message

    @pytest.mark.parametrize("length", ["128", 0, -1, 12.5, [64], True, False], ids=str)
    def test_lengths_that_are_no_number_of_tokens(self, folder, length, refusal):
        file = folder / "sentence_bert_config.json"
        for settings in (
            {"max_seq_length": length},
            {"max_seq_length": None, "processor_kwargs": {"model_max_length": length}},
        ):
            edit(file, **settings)
            message = refusal(lambda: encoder_of(folder))
            assert message == f"{file}: the longest input {length!r} is no number of tokens"
