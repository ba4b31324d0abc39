"""Golden vectors of the reference package llm2vec 0.2.3.

    python3.11 -m venv goldenv
    goldenv/bin/pip install torch==2.13.0 transformers==4.44.2 tokenizers==0.19.1 peft==0.13.2 \
        "numpy<2" safetensors==0.8.0 llm2vec==0.2.3 gritlm==1.0.2
    goldenv/bin/python tests/golden/make_llm2vec.py

Writes `llm2vec.safetensors`, a tensor for every case, and `llm2vec.json`, what the cases are.
"""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from types import MethodType
from typing import Any

import torch

os.environ["HF_HUB_OFFLINE"] = "1"

from llm2vec import LLM2Vec
from llm2vec.models import LlamaBiModel
from record import TEXTS, Prompts, write
from tiny import ARCHITECTURES, tokenizer, write_adapter, write_model

INSTRUCTION = "Given a web search query, retrieve relevant passages that answer the query:"
LLAMA_3_BASE = "meta-llama/Meta-Llama-3-8B"
CHAT = {
    "mistral_chat": ("mistral", "mistralai/Mistral-7B-Instruct-v0.2"),
    "llama3_chat": ("llama", "meta-llama/Meta-Llama-3-8B-Instruct"),
    "llama2_chat": ("llama", "meta-llama/Llama-2-7b-chat-hf"),
    "qwen2_chat": ("qwen2", "Qwen/Qwen2-7B-Instruct"),
}


@dataclass(frozen=True, kw_only=True)
class Case:
    """One way of encoding the texts.

    Attributes:
        architecture: of the folder.
        pooling_mode: the package's.
        instruction: in front of every text; empty for none.
        skip_instruction: the package's; whether only the text's tokens are pooled.
        enable_bidirectional: the package's; whether its bidirectional class is loaded.
        bidirectional: whether tokens see later tokens. False for the package's Qwen2BiModel as it
            stands, True where this script gives it LlamaBiModel's mask.
        name_or_path: the model's published name, by which the package chooses a chat wrapper.
        adapters: the first is merged into the weights, the second stacked on the result.
        max_length: the package's limit of a prompt.
        doc_max_length: the package's limit of a text.
    """

    architecture: str
    pooling_mode: str = "mean"
    instruction: str = INSTRUCTION
    skip_instruction: bool = True
    enable_bidirectional: bool = True
    bidirectional: bool = True
    name_or_path: str = ""
    adapters: tuple[str, ...] = ()
    max_length: int = 512
    doc_max_length: int = 400


def cases() -> Iterator[tuple[str, Case]]:
    """Every case with its name."""
    for suffix, instruction in (("", INSTRUCTION), ("_bare", "")):
        for architecture in ARCHITECTURES:
            # As it stands, the package's Qwen2BiModel is causal with transformers 4.44.2.
            kinds = {architecture: architecture != "qwen2"}
            if architecture == "qwen2":
                kinds["qwen2_bidirectional"] = True
            for kind, bidirectional in kinds.items():
                common: dict[str, Any] = {
                    "architecture": architecture,
                    "instruction": instruction,
                    "bidirectional": bidirectional,
                }
                for pooling in poolings(architecture):
                    yield f"{kind}_{pooling}{suffix}", Case(pooling_mode=pooling, **common)
                for pooling in ("mean", "weighted_mean"):
                    case = Case(pooling_mode=pooling, skip_instruction=False, **common)
                    yield f"{kind}_{pooling}_whole{suffix}", case
        for name, (architecture, published) in CHAT.items():
            common = {
                "architecture": architecture,
                "instruction": instruction,
                "bidirectional": architecture != "qwen2",
                "name_or_path": published,
            }
            yield f"{name}_mean{suffix}", Case(**common)
            yield f"{name}_eos_token{suffix}", Case(pooling_mode="eos_token", **common)
        yield (
            f"llama3_base_eos_token{suffix}",
            Case(
                architecture="llama",
                pooling_mode="eos_token",
                instruction=instruction,
                name_or_path=LLAMA_3_BASE,
            ),
        )
        yield (
            f"llama_causal_mean{suffix}",
            Case(
                architecture="llama",
                instruction=instruction,
                enable_bidirectional=False,
                bidirectional=False,
            ),
        )
        for architecture in ("llama", "mistral"):
            common = {"architecture": architecture, "instruction": instruction}
            chain = ("mntp", "simcse")
            yield f"{architecture}_mntp_mean{suffix}", Case(adapters=chain[:1], **common)
            yield f"{architecture}_mntp_simcse_mean{suffix}", Case(adapters=chain, **common)
            yield f"{architecture}_short_text_mean{suffix}", Case(doc_max_length=24, **common)
            yield f"{architecture}_short_prompt_mean{suffix}", Case(max_length=40, **common)


def poolings(architecture: str) -> Iterator[str]:
    """The package's pooling modes that the architecture's tokenizer allows."""
    yield from ("mean", "weighted_mean", "eos_token", "last_token")
    if tokenizer(architecture)[1]["bos_token"] is not None:
        yield "bos_token"


def write_folders() -> None:
    """Writes the models and adapters into the working directory.

    `llama_mntp` and `mistral_mntp` are as published: the base model's configuration and tokenizer
    with the first adapter's weights.
    """
    for architecture in ARCHITECTURES:
        write_model(Path(architecture), architecture)
    for architecture in ("llama", "mistral"):
        first = Path(f"{architecture}_mntp")
        write_model(first, architecture)
        (first / "model.safetensors").unlink()
        write_adapter(first, architecture, name="mntp", base=architecture)
        write_adapter(Path(f"{architecture}_simcse"), architecture, name="simcse", base=str(first))


def load(case: Case) -> LLM2Vec:
    """The package's encoder for the case."""
    folders = [f"{case.architecture}_{adapter}" for adapter in case.adapters]
    encoder = LLM2Vec.from_pretrained(
        folders[0] if folders else case.architecture,
        peft_model_name_or_path=folders[1] if len(folders) > 1 else None,
        enable_bidirectional=case.enable_bidirectional,
        torch_dtype=torch.float32,
        pooling_mode=case.pooling_mode,
        skip_instruction=case.skip_instruction,
        max_length=case.max_length,
        doc_max_length=case.doc_max_length,
    )
    encoder.model.config._name_or_path = case.name_or_path
    if case.architecture == "qwen2" and case.bidirectional:
        mask = LlamaBiModel._update_causal_mask
        encoder.model._update_causal_mask = MethodType(mask, encoder.model)
    return encoder


def prompts(encoder: LLM2Vec, case: Case) -> tuple[list[list[int]], list[int]]:
    """Every text's prompt without padding, and how many of its last tokens the mask keeps."""
    texts = [encoder._convert_to_str(case.instruction, text) for text in TEXTS]
    features = encoder.tokenize([encoder.prepare_for_tokenization(text) for text in texts])
    shown = features["attention_mask"]
    ids = [
        row[mask.bool()].tolist() for row, mask in zip(features["input_ids"], shown, strict=True)
    ]
    kept = features["embed_mask"] if case.skip_instruction else shown
    return ids, kept.sum(dim=1).tolist()


def main() -> None:
    """Writes both files."""
    torch.set_num_threads(1)
    batches = Prompts()
    vectors, described = {}, {}
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        write_folders()
        for name, case in cases():
            encoder = load(case)
            pairs = [[case.instruction, text] for text in TEXTS]
            vectors[name] = encoder.encode(pairs, show_progress_bar=False).numpy()
            ids, pooled = prompts(encoder, case)
            described[name] = {**asdict(case), "prompts": batches.name(name, ids), "pooled": pooled}
    packages = ("llm2vec", "transformers", "peft", "tokenizers")
    description = {
        "packages": {package: version(package) for package in packages},
        "texts": TEXTS,
        "prompts": batches.batches,
        "cases": described,
    }
    write("llm2vec", vectors, description)


if __name__ == "__main__":
    main()
