"""Small stand-ins for an encoder, its texts and a head, and a folder with chosen tensors."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest
from safetensors.numpy import save_file

from harness.embedding.ragged import Ragged


class MatrixHead:
    """A head that is a given matrix; `blocks` records the rows of each product."""

    def __init__(self, matrix, bias=None):
        self.matrix = np.asarray(matrix, np.float32)
        self.bias = None if bias is None else np.asarray(bias, np.float32)
        self.blocks = []
        self.vocabulary = len(self.matrix)

    def project(self, embeddings):
        self.blocks.append(len(embeddings))
        return embeddings


class FakeTokenizer:
    all_special_ids = (0,)
    added_tokens_decoder: ClassVar = {}

    def __init__(self, size):
        self.size = size

    def __len__(self):
        return self.size


class FakeTexts:
    """What a head sees of a corpus."""

    def parts(self):
        yield self

    def __init__(self, tokens, embeddings, **space):
        self.literal_tokens = Ragged.from_rows(tokens)
        self.embeddings = self.pooled = np.asarray(embeddings, np.float32)
        self.space = {"weights": "w", "side": "document", **space}
        self.keys = [repr(row).encode() for row in tokens]

    def __len__(self):
        return len(self.keys)


@pytest.fixture(scope="session")
def matrix_head():
    return MatrixHead


@pytest.fixture
def texts():
    return FakeTexts


@pytest.fixture
def encoder(tmp_path):
    """Makes an encoder of a vocabulary's size, whose store is in tmp_path."""

    def make(vocabulary=6):
        return SimpleNamespace(
            model=SimpleNamespace(tokenizer=FakeTokenizer(vocabulary)),
            store_dir=tmp_path / "store",
            store_address=None,
        )

    return make


@pytest.fixture
def weights_folder(tmp_path, stories):
    """Makes a folder of a model with the given settings and tensors and the stories' tokenizer."""

    def make(name, tensors, **settings) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        (folder / "config.json").write_text(json.dumps(settings))
        for file in stories.glob("tokenizer*"):
            shutil.copy(file, folder)
        save_file(tensors, folder / "model.safetensors")
        return folder

    return make
