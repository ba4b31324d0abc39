"""Every shipped model: it composes, validates, and its prompts are the ones that are written down.

`model_configs.json` holds, for each, how it pools, attends and reads tokens, and its exact prompts
of SciFact's queries, documents and of a symmetric text.
"""

import json
import re
from functools import cache
from pathlib import Path

import mteb
import pytest
from hydra import compose, initialize_config_dir
from mteb.models.model_implementations import MODEL_REGISTRY
from omegaconf import OmegaConf
from transformers import AutoTokenizer

from harness.config import RunConfig, build, parse
from harness.embedding.instructions import Template
from harness.embedding.prompts import Layout, tokenise
from harness.evaluation.tasks.instruction import task_instruction

CONF = Path(__file__).parents[1] / "conf"
WRITTEN = json.loads((Path(__file__).parent / "model_configs.json").read_text())
FROM_THE_FOLDER = {"hf", "local"}  # pooling, prompts and head are the model's own
SHIPPED = sorted({file.stem for file in (CONF / "model").glob("*.yaml")} - FROM_THE_FOLDER)
TEXT = "A cat sat."


@cache
def configured(name):
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose("run", overrides=[f"model={name}"])
    for key in OmegaConf.missing_keys(config):
        OmegaConf.update(config, key, "x")
    return parse(RunConfig, config, where="")


def summary(name):
    """What decides a model's embeddings, and its prompts, as plain data."""
    config = configured(name)
    model, pooling, head = config.model, config.pooling, config.head
    task = task_instruction(mteb.get_task("SciFact"), config.task_instructions)
    template = Template(config.instruction, copies=pooling.copies).for_task(task)
    told = {
        "name": model.name,
        "path": model.path,
        "adapters": list(model.adapters),
        "pooling": pooling.kind,
        "include_instruction": pooling.include_instruction,
        "attention": model.attention,
        "max_length": model.max_length,
        "text_max_length": model.text_max_length,
        "text_cut": model.text_cut if model.text_max_length else None,
        "normalize": model.normalize,
        "similarity": model.similarity,
        "head": head.kind,
        "backbone": model.backbone,
    }
    told = {key: value for key, value in told.items() if value is not None and value != []}
    sides = ("query", "document", "symmetric")
    return told | {side: TEXT.join(template.pieces(side)) for side in sides}


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory, golden_tiny):
    """A stand-in: byte-level, so that every prompt comes back from its tokens."""
    folder = tmp_path_factory.mktemp("stand-in")
    golden_tiny.write_model(folder, "llama")
    return AutoTokenizer.from_pretrained(folder)


@pytest.mark.parametrize("name", SHIPPED)
def test_what_is_shipped_is_what_is_written_down(name):
    found = summary(name)
    print(json.dumps({name: found}, indent=2, ensure_ascii=False))
    assert found == WRITTEN[name]


def test_nothing_else_is_written_down():
    assert sorted(WRITTEN) == SHIPPED


@pytest.mark.parametrize("name", SHIPPED)
def test_prompts_come_back_from_their_tokens(name, tokenizer):
    config = configured(name)
    task = task_instruction(mteb.get_task("SciFact"), config.task_instructions)
    template = Template(config.instruction, copies=config.pooling.copies).for_task(task)
    for side in ("query", "document", "symmetric"):
        layout = Layout(
            pieces=template.pieces(side),
            max_length=500,
            join_tokens=config.instruction.join == "tokens",
            count_text=config.instruction.locate == "count",
            needs_first=config.pooling.needs_first,
            needs_last=config.pooling.needs_last,
        )
        ids = tokenise(tokenizer, [TEXT], layout).ids[0].tolist()
        end = tokenizer.eos_token if config.pooling.needs_last else ""
        expected = tokenizer.bos_token + WRITTEN[name][side] + end
        assert tokenizer.decode(ids, clean_up_tokenization_spaces=False) == expected


@pytest.mark.parametrize("name", SHIPPED)
def test_classes_and_revisions(name):
    config = configured(name)
    assert build(config.pooling) is not None
    for pinned in (config.model.revision, *(r.partition("@")[2] for r in config.model.adapters)):
        assert not pinned or re.fullmatch(r"[0-9a-f]{40}", pinned)


@pytest.mark.parametrize("name", SHIPPED)
def test_revisions_are_those_that_mteb_knows(name):
    model = configured(name).model
    if model.revision is None or model.name not in MODEL_REGISTRY:
        pytest.skip("not pinned, or mteb does not list it")
    assert model.revision == MODEL_REGISTRY[model.name].revision


@pytest.mark.parametrize(
    "name", sorted(file.stem for file in (CONF / "task_instructions").glob("*.yaml"))
)
def test_instructions_are_of_tasks_that_exist(name):
    texts = OmegaConf.to_container(OmegaConf.load(CONF / "task_instructions" / f"{name}.yaml"))
    known = {task.metadata.name for task in mteb.get_tasks()} | {"default"}
    known |= {task.metadata.name for task in mteb.get_tasks(exclude_superseded=False)}
    assert set(texts) <= known
    for text in texts.values():
        sides = text.values() if isinstance(text, dict) else [text]
        assert all(isinstance(side, str) and side == side.strip() for side in sides)
