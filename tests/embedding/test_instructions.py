"""Templates: the exact token ids that a model reads, and which of them are the text."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from harness.config import InstructionConfig, ModelConfig, parse_component
from harness.embedding import prompts as prompts_module
from harness.embedding.instructions import TaskInstruction, Template
from harness.embedding.model import EmbeddingModel
from harness.embedding.prompts import Layout, Prompts, bare_prompts, literal_tokens
from harness.embedding.ragged import Ragged
from harness.errors import BadInputError

CONF = Path(__file__).parents[2] / "conf" / "instruction"

PROMPTS = json.loads((Path(__file__).parent / "shipped_prompts.json").read_text())
"""Every shipped template by side: its pieces for the instruction "Find it.", and the ids of
"A cat." under two tokenizers, read token by token when they were written down. stories260K puts
<s> (1) first; MiniLM stands between [CLS] (101) and [SEP] (102)."""

CAT = [447, 280, 294, 426]  # A, ▁c, at, .
BERT_CAT = [1037, 4937, 1012]

SHIPPED = [
    (model, name, side)
    for name, sides in PROMPTS.items()
    for side in sides
    for model in ("stories", "minilm")
]


class Tokenizers:
    """Tokenizers by name, each loaded (or skipped) where it is asked for."""

    def __init__(self, request):
        self._request = request
        self._loaded = {}

    def __getitem__(self, name):
        if name not in self._loaded:
            config = self._request.getfixturevalue(name)
            if not isinstance(config, ModelConfig):
                config = ModelConfig(path=str(config))
            self._loaded[name] = EmbeddingModel(config).tokenizer
        return self._loaded[name]


@pytest.fixture(scope="module")
def tokenizers(request):
    return Tokenizers(request)


def shipped(name, **settings):
    """A shipped template as Hydra composes it: its file over the one of no template."""
    parts = [OmegaConf.load(CONF / f"{file}.yaml") for file in ("none", name)]
    merged = OmegaConf.merge(*parts)
    merged.pop("defaults", None)
    return Template(parse_component("instruction", merged, where="instruction"), **settings)


def template(text, **settings):
    return Template(InstructionConfig(query=text, document=text, **settings))


def layout_of(template, side="query", max_length=512, **settings):
    return Layout(
        pieces=template.pieces(side),
        max_length=max_length,
        join_tokens=template.config.join == "tokens",
        count_text=template.config.locate == "count",
        **settings,
    )


def tokenise(template, tokenizer, *texts, **layout):
    texts = [template.strip(text) for text in texts]
    return prompts_module.tokenise(tokenizer, texts, layout_of(template, **layout))


def text_of(prompts, row=0):
    return prompts.ids[row][prompts.text_start[row] : prompts.text_stop[row]].tolist()


def test_every_shipped_template_is_tested_here():
    files = {file.stem for file in CONF.glob("*.yaml")}
    assert files == {"none", "auto", *PROMPTS}


def expected(model, name, side):
    found = PROMPTS[name][side][model]
    return found["before"], found["text"], found["after"]


def of_task(name):
    return shipped(name, task=TaskInstruction("Find it."), copies=2 if name == "echo" else 1)


@pytest.mark.parametrize(("model", "name", "side"), SHIPPED)
class TestShippedTemplates:
    def test_exact_ids(self, tokenizers, model, name, side):
        before, text, after = expected(model, name, side)
        template = of_task(name)
        assert list(template.pieces(side)) == PROMPTS[name][side]["pieces"]
        prompts = tokenise(template, tokenizers[model], "A cat.", side=side)
        assert prompts.ids[0].tolist() == before + text + after
        assert prompts.text_start.tolist() == [len(before)]
        assert prompts.text_stop.tolist() == [len(before + text)]

    def test_what_surrounds_the_text_is_never_cut(self, tokenizers, model, name, side):
        before, _, after = expected(model, name, side)
        if not any(PROMPTS[name][side]["pieces"]):
            pytest.skip("nothing surrounds the text")
        tokenizer, template = tokenizers[model], of_task(name)
        empty = tokenise(template, tokenizer, "", side=side)
        room = len(empty.ids[0]) + 4
        ids = tokenise(template, tokenizer, "A cat." * 500, side=side, max_length=room)
        ids = ids.ids[0].tolist()
        assert room - 1 <= len(ids) <= room  # two copies lose the same
        whole = tokenise(template, tokenizer, "A cat." * 500, side=side, max_length=10_000)
        assert ids[: len(before) // 2] == whole.ids[0].tolist()[: len(before) // 2]
        assert ids[len(ids) - len(after) :] == after
        if name != "echo":
            assert ids[: len(before)] == before

    def test_no_room(self, tokenizers, model, name, side):
        if not any(PROMPTS[name][side]["pieces"]):
            pytest.skip("nothing surrounds the text")
        tokenizer, template = tokenizers[model], of_task(name)
        room = len(tokenise(template, tokenizer, "", side=side).ids[0])
        with pytest.raises(BadInputError, match="no room for the text") as error:
            tokenise(template, tokenizer, "A cat sat on it.", side=side, max_length=room)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("model", "ids", "empty"),
    [("stories", [1, 410, *CAT], [1]), ("minilm", [101, *BERT_CAT, 102], [101, 102])],
)
@pytest.mark.parametrize("side", ["query", "document"])
def test_without_a_template_special_tokens_are_text(tokenizers, model, ids, empty, side):
    prompts = tokenise(shipped("none"), tokenizers[model], "A cat.", "", side=side)
    assert [row.tolist() for row in prompts.ids] == [ids, empty]
    assert prompts.text_start.tolist() == [0, 0]
    assert prompts.text_stop.tolist() == [len(ids), len(empty)]


def test_without_a_template_the_end_is_cut(tokenizers):
    for model, tail in (("stories", []), ("minilm", [102])):
        whole = tokenise(shipped("none"), tokenizers[model], "A cat. A cat. A cat.")
        cut = tokenise(shipped("none"), tokenizers[model], "A cat. A cat. A cat.", max_length=8)
        assert cut.ids[0].tolist() == whole.ids[0].tolist()[: 8 - len(tail)] + tail


def test_lengths_that_the_tokenizer_file_asks_for_are_ignored(tokenizers):
    # MiniLM's tokenizer.json cuts at 128 and pads to 128.
    for kind in ("none", "sgpt"):
        prompts = tokenise(shipped(kind), tokenizers["minilm"], "cat " * 300, "cat")
        assert prompts.ids.lengths[0] >= 302
        assert prompts.ids.lengths[1] <= 5


def test_the_cut_is_at_the_end_even_if_the_tokenizer_says_left(tmp_path, tiny_llama):
    import json
    import shutil

    folder = shutil.copytree(tiny_llama, tmp_path / "left")
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    settings |= {"truncation_side": "left", "padding_side": "left"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    tokenizer = EmbeddingModel(ModelConfig(path=str(folder))).tokenizer
    whole = tokenise(shipped("none"), tokenizer, "The cat sat on the mat.").ids[0].tolist()
    cut = tokenise(shipped("none"), tokenizer, "The cat sat on the mat.", max_length=4)
    assert cut.ids[0].tolist() == whole[:4]


def tokens(tokenizer, ids):
    return tokenizer.convert_ids_to_tokens([int(token) for token in ids])


def test_a_token_shared_with_the_tail_survives_the_cut(tokenizers):
    tokenizer = tokenizers["tiny_llama"]
    quoted = template('[{text}" means')
    whole = tokenise(quoted, tokenizer, "The cat sat on the mat.")
    assert tokens(tokenizer, whole.ids[0])[-2:] == ['."', "Ġmeans"]
    assert tokens(tokenizer, text_of(whole))[-1] == '."'
    cut = tokenise(quoted, tokenizer, "The cat sat on the mat.", max_length=len(whole.ids[0]) - 3)
    assert tokens(tokenizer, cut.ids[0])[-2:] == ['."', "Ġmeans"]
    assert text_of(cut) == text_of(whole)[:-4] + text_of(whole)[-1:]


def test_an_empty_text_owns_no_part_of_a_joined_token(tokenizers):
    tokenizer = tokenizers["tiny_llama"]
    prompts = tokenise(template('x "{text}" y'), tokenizer, "")
    assert '""' in "".join(tokens(tokenizer, prompts.ids[0]))
    assert text_of(prompts) == []


def test_a_text_of_spaces_is_text(tokenizers):
    # The byte-level tokenizer reports lone spaces as empty spans.
    prompts = tokenise(template("[{text}]"), tokenizers["tiny_llama"], "   ")
    assert tokens(tokenizers["tiny_llama"], prompts.ids[0]) == ["<s>", "[", "Ġ", "Ġ", "Ġ", "]"]
    assert (prompts.text_start[0], prompts.text_stop[0]) == (2, 5)
    cut = tokenise(template("[{text}]"), tokenizers["tiny_llama"], " " * 200, max_length=10)
    assert len(cut.ids[0]) == 10
    assert tokens(tokenizers["tiny_llama"], cut.ids[0])[-1] == "]"


def test_a_text_that_the_tokenizer_drops_is_empty(tokenizers):
    prompts = tokenise(shipped("e5"), tokenizers["minilm"], "\x00", "  ", "")
    assert [row.tolist() for row in prompts.ids] == [[101, 23032, 1024, 102]] * 3
    assert prompts.text_start.tolist() == prompts.text_stop.tolist() == [3, 3, 3]


@pytest.mark.parametrize(
    ("given_template", "before"), [("{text} end", 1), ("start {text}", 2), ("a {text} b", 2)]
)
def test_place_of_an_empty_text(tokenizers, given_template, before):
    prompts = tokenise(template(given_template), tokenizers["minilm"], "")
    assert prompts.text_start.tolist() == prompts.text_stop.tolist() == [before]


def test_braces_in_a_text_are_only_text(tokenizers):
    prompts = tokenise(shipped("sgpt"), tokenizers["minilm"], "{text}", side="document")
    inside = tokenizers["minilm"]("{text}", add_special_tokens=False)["input_ids"]
    assert prompts.ids[0].tolist() == [101, 1063, *inside, 1065, 102]


@given(text=st.text(max_size=40), max_length=st.integers(20, 40))
@pytest.mark.parametrize("model", ["tiny_llama", "tiny_bert", "stories", "minilm"])
def test_template_survives_any_text(tokenizers, model, text, max_length):
    tokenizer = tokenizers[model]
    wrapped = template("[ {text} ] ends so")
    tail = tokenise(wrapped, tokenizer, "").ids[0].tolist()[-2:]
    prompts = tokenise(wrapped, tokenizer, text, max_length=max_length)
    ids = prompts.ids[0].tolist()
    start, stop = int(prompts.text_start[0]), int(prompts.text_stop[0])
    assert len(ids) <= max_length
    assert 0 <= start <= stop <= len(ids)
    assert ids[-2:] == tail
    whole = tokenise(wrapped, tokenizer, text).ids[0].tolist()
    assert ids[:start] == whole[:start]
    if len(whole) <= max_length:
        assert ids == whole


def test_literal_tokens_have_neither_template_nor_special_tokens(tokenizers):
    rows = literal_tokens(tokenizers["minilm"], ["A cat.", "", "a cat. a cat."], max_length=4)
    assert [row.tolist() for row in rows] == [BERT_CAT, [], [*BERT_CAT, 1037]]
    assert len(literal_tokens(tokenizers["minilm"], [], max_length=4)) == 0


@pytest.mark.parametrize("kind", ["none", "e5"])
def test_no_texts(tokenizers, kind):
    prompts = tokenise(shipped(kind), tokenizers["stories"])
    assert len(prompts.ids) == len(prompts.text_start) == len(prompts.text_stop) == 0


def test_prompts_select_and_concatenate():
    first = Prompts(Ragged.from_rows([[1, 2], [3]]), np.array([0, 1]), np.array([2, 1]))
    second = Prompts(Ragged.from_rows([[4, 5, 6]]), np.array([1]), np.array([3]))
    both = Prompts.concatenate([first, second]).select(np.array([2, 0]))
    assert [row.tolist() for row in both.ids] == [[4, 5, 6], [1, 2]]
    assert both.text_start.tolist() == [1, 0]
    assert both.text_stop.tolist() == [3, 2]
    empty = Prompts.concatenate([])
    assert len(empty.ids) == 0
    assert empty.text_start.dtype == np.int64


@pytest.mark.parametrize("name", ["minilm", "stories"])
@pytest.mark.parametrize("max_length", [8, 12, 200])
def test_bare_prompts_are_what_the_tokenizer_makes_of_the_texts(tokenizers, name, max_length):
    texts = ["A cat.", "", "a cat. [SEP] <s> a cat.", "word " * 40, " lead", "tail ", "é ü 漢字"]
    tokenizer = tokenizers[name]
    expected = tokenizer(texts, truncation=True, max_length=max_length)["input_ids"]
    literal = literal_tokens(tokenizer, texts, max_length=max_length)
    prompts = bare_prompts(tokenizer, literal, Layout(max_length=max_length))
    assert [row.tolist() for row in prompts.ids] == expected
    assert prompts.text_start.tolist() == [0] * len(texts)
    assert prompts.text_stop.tolist() == [len(row) for row in expected]
