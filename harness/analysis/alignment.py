"""Which of their own tokens embeddings align to (paper section 1), as tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from harness.alignment.aligned_tokens import aligned_tokens
from harness.alignment.lexicon import TokenLexicon
from harness.alignment.rates import alignment_counts, alignment_rates
from harness.embedding.prompts import Layout, bare_prompts

if TYPE_CHECKING:
    from harness.alignment.head import Head, LogitReader
    from harness.alignment.rates import AlignmentCounts
    from harness.embedding.ragged import Ragged
    from harness.embedding.texts import Texts


def own_tokens(head: Head, texts: Texts) -> Ragged:
    """T of each text: ids of the bare text, special tokens as the tokenizer adds them.

    A head of whole words has no special ones.
    """
    if not isinstance(head.lexicon, TokenLexicon):
        return head.lexicon.literal(texts)
    model = texts.encoder.model
    layout = Layout(max_length=model.max_length, text_max_length=model.config.text_max_length)
    return bare_prompts(model.tokenizer, texts.literal_tokens, layout).ids


def counts_of(
    head: Head,
    vectors: NDArray[np.float32],
    tokens: Ragged,
    *,
    k: int,
    device: str,
    reader: LogitReader | None = None,
) -> AlignmentCounts:
    """The counts of texts under a fitted head; a padded matrix's last columns stand for nothing.

    Args:
        head: Names the terms, and reads the vectors unless `reader` does.
        vectors: float32 (n, d).
        tokens: T of each text.
        k: Of Hit@K.
        device: Where logits are computed.
        reader: Reads the vectors instead of the head.
    """
    allowed = head.lexicon.allowed(drop_special=False, drop_punctuation=False, drop_stopwords=False)
    known = int(np.flatnonzero(allowed)[-1]) + 1 if allowed.any() else 0
    return alignment_counts(reader or head, vectors, tokens, known=known, k=k, device=device)


def rates_table(head: Head, name: str, texts: Texts, *, k: int, seed: int) -> pd.DataFrame:
    """Hit@K, LAR and GAR of texts: a row each, with 95 % intervals.

    Args:
        head: Fitted.
        name: The task, or the file.
        texts: The texts.
        k: Of Hit@K.
        seed: Of the resamples.
    """
    device = texts.encoder.backend.device
    counts = counts_of(head, head.read(texts), own_tokens(head, texts), k=k, device=device)
    rates = alignment_rates(counts, seed=seed)
    return pd.DataFrame(
        [
            {
                "task": name,
                "side": texts.side,
                "texts": rates.texts,
                "k": k,
                "metric": metric,
                "value": rate.value,
                "low": rate.low,
                "high": rate.high,
            }
            for metric, rate in (("hit", rates.hit), ("lar", rates.lar), ("gar", rates.gar))
        ]
    )


def tokens_table(head: Head, name: str, texts: Texts, *, top_k: int) -> pd.DataFrame:
    """The aligned tokens of texts, special ones left out: a row each, by text and rank.

    Args:
        head: Fitted.
        name: The task, or the file.
        texts: The texts.
        top_k: Tokens of a text.
    """
    allowed = head.lexicon.allowed(drop_special=True, drop_punctuation=False, drop_stopwords=False)
    found = aligned_tokens(
        head, head.read(texts), top_k, allowed=allowed, device=texts.encoder.backend.device
    )
    literal = head.lexicon.literal(texts)
    return long_table(
        head,
        found.ids,
        literal,
        texts,
        {"task": name, "side": texts.side},
        weight=found.weights,
    )


def long_table(
    head: Head,
    ids: NDArray[np.int32],
    literal: Ragged,
    texts: Texts,
    constant: dict[str, str],
    **values: NDArray[np.float32],
) -> pd.DataFrame:
    """Arrays (n, k) of ranked terms as one row a term; -1 is left out.

    Args:
        head: Names the terms.
        ids: int32 (n, k).
        literal: Each text's own terms.
        texts: The n texts.
        constant: More columns, the same in every row.
        values: More columns, (n, k).
    """
    rows, places = np.nonzero(ids >= 0)
    terms = ids[rows, places]
    size = int(max(ids.max(initial=0), literal.values.max(initial=0))) + 1
    own = np.isin(rows * size + terms, literal.row_numbers() * size + literal.values)
    names = {term: head.lexicon.name(term) for term in np.unique(terms).tolist()}
    table: dict[str, object] = dict(constant)
    table |= {
        "id": pd.Categorical.from_codes(rows, pd.Index(texts.ids)).astype(str),
        "text": np.array(texts.texts, object)[rows],
        "rank": places + 1,
        "term": terms,
        "token": [names[term] for term in terms.tolist()],
    }
    table |= {name: column[rows, places] for name, column in values.items()}
    table["literal"] = own
    return pd.DataFrame(table)
