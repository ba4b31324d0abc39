"""A decoder of a few thousand parameters, its tokenizer, and data that it is trained on."""

import functools
import json
import random

import torch

from harness.config import PretrainConfig, parse_component
from harness.training.network import Decoder, new_llama
from harness.training.product import save
from harness.training.tokenizer import train_tokenizer
from harness.training.worker import Worker

WORDS = [
    *("the", "cat", "sat", "on", "a", "mat", "while", "dogs", "bark", "and", "birds", "sing", "in"),
    *("rain", "or", "sun", "over", "green", "hills", "near", "old", "towns"),
]
SHAPE = {"vocabulary": 300, "layers": 2, "width": 16, "heads": 2, "inner_width": 24}
PLAIN = ("device=cpu", "train.dtype=float32")
SHAPE_GIVEN = tuple(f"train.{name}={value}" for name, value in SHAPE.items())


def sentences(count=60):
    """Sentences of 4 to 14 words, the same on every call."""
    draw = random.Random(0)
    return [" ".join(draw.choices(WORDS, k=draw.randint(4, 14))) for _ in range(count)]


def write_texts(path, texts):
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return path


def backwards(text):
    return " ".join(reversed(text.split()))


def write_pairs(path, texts):
    """The first three words of each text ask for it; backwards it is a hard negative."""
    lines = [
        {"query": " ".join(text.split()[:3]), "positive": text, "negatives": [backwards(text)]}
        for text in texts
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


@functools.cache
def tokenizer():
    return train_tokenizer(sentences(), vocabulary=300, max_length=64)


@functools.cache
def worker():
    return Worker("cpu", "float32")


def step(kind, **settings):
    """The configuration of a step, in float32, with nothing held out."""
    plain = {"dtype": "float32", "held_out": 0.0}
    return parse_component("train", {"kind": kind, **plain, **settings}, where="train")


def network(*, tied=True, seed=0):
    """A Llama whose weights are drawn large, so that all that it reads matters."""
    config = PretrainConfig(text="-", tied=tied, positions=64, max_length=16, seed=seed, **SHAPE)
    made = new_llama(config, tokenizer())
    with torch.no_grad():
        for parameter in made.parameters():
            if parameter.ndim > 1:
                parameter.mul_(10)
    return made


def write_model(folder, *, tied=True, seed=0):
    decoder = Decoder(network(tied=tied, seed=seed), step("pretrain", text="-"))
    save(decoder, tokenizer(), folder, dtype="float32", base=None)
    return folder


def gradients(decoder):
    """By name, those that there are; they are cleared."""
    found = {name: one.grad for name, one in decoder.trained.items() if one.grad is not None}
    decoder.network.zero_grad(set_to_none=True)
    return found
