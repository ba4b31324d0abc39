"""A whole `harness run` of a streamed corpus in this process, and the most memory that it took.

    python -m tests.benchmarks.whole_run DOCUMENTS [SETTING=VALUE ...]

prints it as JSON. The model is a Llama of one layer, since what is measured is everything around
it; documents are a few made-up words each, all of them different. Called in a process of its own
(`fresh_call`), since peak memory is what it is about.
"""

import json
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np

from harness.cost.memory import peak_host_bytes
from tests.benchmarks.scale import Point

QUERIES = 100
VOCABULARY = 4000
_SYLLABLES = [a + b for a in "bdfgklmnprst" for b in ("a", "e", "i", "o", "u", "an", "er", "is")]
_WORDS = [f"{a}{b}" for a in _SYLLABLES for b in _SYLLABLES[:20]]
_STATUS = Path("/proc/self/status")
_SECONDS = 0.005  # between two looks


def whole_run(documents: int, *settings: str) -> Point:
    """Dense and aligned sparse retrieval of a folder, from its files to its results."""
    from harness.cli import _main

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_model(folder / "model")
        write_collection(folder / "corpus", documents)
        began = time.perf_counter()
        with PeakAnonymous() as memory, redirect_stdout(sys.stderr):
            status = _main(
                [
                    "run",
                    *("model=local", f"model.path={folder}/model", "pooling=mean", "head=lm_head"),
                    *("instruction=none", "backend.device=cpu"),
                    *("tasks=folder", f"tasks.path={folder}/corpus", "tasks.stream_mib=0"),
                    "retrieval=[dense,aligned_sparse]",
                    *(f"store_dir={folder}/store", f"results_dir={folder}/results"),
                    *settings,
                ]
            )
        assert status == 0
        return {
            "documents": documents,
            "seconds": time.perf_counter() - began,
            "peak_bytes": peak_host_bytes(),
            "anonymous_bytes": memory.peak_bytes,
            "corpus_bytes": (folder / "corpus" / "corpus.jsonl").stat().st_size,
            "store_bytes": sum(path.stat().st_size for path in folder.rglob("shard-*")),
        }


class PeakAnonymous:
    """A context manager that sees the largest resident memory of this process that is no file's.

    Pages of mapped files count as resident too, until the system wants them for something else.

    Attributes:
        peak_bytes: The peak, as looks at intervals have seen it.
    """

    def __init__(self) -> None:
        self.peak_bytes = 0
        self._over = threading.Event()
        self._looks = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> "PeakAnonymous":
        self._looks.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._looks.join()

    def _look(self) -> None:
        while not self._over.wait(_SECONDS):
            lines = _STATUS.read_text().splitlines()
            (found,) = (line for line in lines if line.startswith("RssAnon:"))
            self.peak_bytes = max(self.peak_bytes, int(found.split()[1]) << 10)


def write_collection(folder: Path, documents: int) -> None:
    """So many documents in BEIR's format; each query has the words of one."""
    (folder / "qrels").mkdir(parents=True)
    asked = []
    with (folder / "corpus.jsonl").open("w") as corpus:
        for number, text in enumerate(_texts(documents)):
            entry = {"_id": f"d{number}", "title": "", "text": f"{number:07d} {text}"}
            corpus.write(json.dumps(entry) + "\n")
            if number % (documents // QUERIES) == 0:
                asked.append((number, text))
    with (
        (folder / "queries.jsonl").open("w") as queries,
        (folder / "qrels" / "test.tsv").open("w") as qrels,
    ):
        for number, text in asked:
            queries.write(json.dumps({"_id": f"q{number}", "text": text}) + "\n")
            qrels.write(f"q{number}\td{number}\t1\n")


def _texts(count: int) -> Iterator[str]:
    """Two to five words each, some words common and most rare."""
    rng = np.random.default_rng(0)
    for _ in range(count):
        ranks = (len(_WORDS) * rng.random(rng.integers(2, 6)) ** 3).astype(int)
        yield " ".join(_WORDS[rank] for rank in ranks)


def write_model(folder: Path) -> None:
    """A random Llama, 32 wide, whose tokens are words and parts of numbers."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=["<s>", "</s>"],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    numbered = (f"{number:07d} {text}" for number, text in enumerate(_texts(20_000)))
    tokenizer.train_from_iterator(numbered, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", 0)]
    )
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>")
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(fast),
        hidden_size=32,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=64,
        bos_token_id=0,
        eos_token_id=1,
        tie_word_embeddings=True,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    fast.save_pretrained(folder)


if __name__ == "__main__":
    print(json.dumps(whole_run(int(sys.argv[1]), *sys.argv[2:])))
