"""A tokenizer of one's own, trained on the text that the model is trained on."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

BEGIN, END, PADDING, MASK = "<s>", "</s>", "<pad>", "<mask>"


def train_tokenizer(
    texts: Iterable[str], *, vocabulary: int, max_length: int
) -> PreTrainedTokenizerFast:
    """Byte pair encoding on lower-cased text, words marked by the space before them.

    Text is lower-cased and begins with a space, so that a word is the same tokens wherever it
    stands: an aligned token is then found in a query whatever its case. Every byte is a token, so
    no text is unknown.

    Args:
        texts: The text; the order decides ties, so it must be fixed.
        vocabulary: Tokens in all, the four special ones and 256 bytes included.
        max_length: Longest input that the model takes.

    Returns:
        A tokenizer that puts `<s>` before a text.
    """
    from tokenizers import Tokenizer, decoders, normalizers, pre_tokenizers, processors, trainers
    from tokenizers.models import BPE
    from transformers import PreTrainedTokenizerFast

    special = [PADDING, BEGIN, END, MASK]
    tokenizer = Tokenizer(BPE())
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        min_frequency=2,
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer=trainer)
    begin = tokenizer.token_to_id(BEGIN)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BEGIN} $A", pair=f"{BEGIN} $A {BEGIN} $B", special_tokens=[(BEGIN, begin)]
    )
    made: Any = PreTrainedTokenizerFast
    whole: PreTrainedTokenizerFast = made(
        tokenizer_object=tokenizer,
        bos_token=BEGIN,
        eos_token=END,
        pad_token=PADDING,
        mask_token=MASK,
        model_max_length=max_length,
        padding_side="right",
        clean_up_tokenization_spaces=False,
    )
    return whole
