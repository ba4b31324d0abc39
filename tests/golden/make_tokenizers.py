"""Trains the two tokenizers of the golden models.

Run once, with the environment that `make_llm2vec.py` describes (tokenizers 0.19.1 writes merges in
the form that every later version reads): `python tests/golden/make_tokenizers.py`.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers

HERE = Path(__file__).parent
VOCABULARY = 410
SENTENCES = 400

SUBJECTS = (
    "The river", "A small boat", "The teacher", "Her brother", "The old library", "Every winter",
    "A search engine", "The query", "This passage", "The first answer", "Our neighbour",
    "The museum", "A retrieved document", "His question",
)  # fmt: skip
VERBS = (
    "finds", "describes", "carries", "answers", "explains", "follows", "reaches", "keeps",
    "represents", "remembers", "ranks", "matches", "leaves",
)  # fmt: skip
OBJECTS = (
    "the relevant documents", "a quiet harbour", "an open window", "the meaning of the sentence",
    "what the user asked for", "a given web page", "the long road to the north",
    "passages that answer the query", "its own history", "the instruction and the text",
    "water from the mountains",
)  # fmt: skip
ENDINGS = (
    "before the sun rises.", "in the year 1963.", "with great care!", "and nobody knows why.",
    "because it was raining;", "after 24 hours.", "- or so they say.", "when the wind is cold,",
    'as she said: "yes".',
)  # fmt: skip

LLAMA_3_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
BYTELEVEL_SPECIAL = (
    "<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>",
    "<|eot_id|>", "<|im_start|>", "<|im_end|>", "<|endoftext|>",
)  # fmt: skip
METASPACE_SPECIAL = ("<unk>", "<s>", "</s>")


def sentences() -> Iterator[str]:
    """Sentences in which every part meets many others: the parts' counts are pairwise coprime."""
    for i in range(SENTENCES):
        yield " ".join(part[i % len(part)] for part in (SUBJECTS, VERBS, OBJECTS, ENDINGS))


def bytelevel() -> dict[str, Any]:
    """Byte-level BPE after Llama 3: its word pattern, `<|begin_of_text|>` in front."""
    tokenizer = Tokenizer(models.BPE(ignore_merges=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(LLAMA_3_WORDS), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY - len(BYTELEVEL_SPECIAL),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(sentences(), trainer)
    tokenizer.add_special_tokens(list(BYTELEVEL_SPECIAL))
    begin = BYTELEVEL_SPECIAL[0]
    tokenizer.post_processor = processors.Sequence(
        [
            processors.ByteLevel(trim_offsets=False),
            processors.TemplateProcessing(
                single=f"{begin} $A",
                pair=f"{begin} $A {begin}:1 $B:1",
                special_tokens=[(begin, tokenizer.token_to_id(begin))],
            ),
        ]
    )
    return json.loads(tokenizer.to_str())


def metaspace() -> dict[str, Any]:
    """BPE after Mistral: a space before the text, unknown characters as bytes, `<s>` in front."""
    learner = Tokenizer(models.BPE())
    learner.pre_tokenizer = pre_tokenizers.Metaspace()
    taken = len(METASPACE_SPECIAL) + 256
    trainer = trainers.BpeTrainer(vocab_size=VOCABULARY - taken, show_progress=False)
    learner.train_from_iterator(sentences(), trainer)
    learned = json.loads(learner.to_str())["model"]
    tokens = [*METASPACE_SPECIAL, *(f"<0x{byte:02X}>" for byte in range(256))]
    tokens += sorted(learned["vocab"], key=learned["vocab"].__getitem__)

    tokenizer = Tokenizer(
        models.BPE(
            vocab={token: i for i, token in enumerate(tokens)},
            merges=[tuple(merge.split(" ")) for merge in learned["merges"]],
            unk_token="<unk>",
            fuse_unk=True,
            byte_fallback=True,
        )
    )
    tokenizer.add_special_tokens(list(METASPACE_SPECIAL))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(content=" ", left=1),
        ]
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s>:1 $B:1", special_tokens=[("<s>", 1)]
    )
    return json.loads(tokenizer.to_str())


def main() -> None:
    """Writes `tokenizer_bytelevel.json` and `tokenizer_metaspace.json`."""
    for train in (bytelevel, metaspace):
        text = json.dumps(train(), ensure_ascii=False, indent=1) + "\n"
        (HERE / f"tokenizer_{train.__name__}.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
