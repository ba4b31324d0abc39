"""One step of training, from what it starts from to the folder that it leaves."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import MISSING, asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from harness import __version__
from harness.components import build, identity
from harness.config import ContrastiveConfig, ModelConfig, PretrainConfig
from harness.cost.hardware import git_commit, hardware_record, software_record
from harness.embedding.model import EmbeddingModel
from harness.errors import BadInputError
from harness.progress import say
from harness.training.checkpoint import Checkpoint
from harness.training.data import file_digest, padding_token, read_texts
from harness.training.embed import PART_TOKENS
from harness.training.held_out import HELD_OUT, write_collection
from harness.training.loop import train
from harness.training.network import Decoder, load_decoder, new_llama
from harness.training.product import finished, refuse_to_replace, save, write_record
from harness.training.tokenizer import train_tokenizer
from harness.training.worker import Worker, is_first_process

if TYPE_CHECKING:
    from harness.config import StepConfig

_LIBRARIES = ("torch", "transformers", "tokenizers", "peft", "accelerate", "numpy")


def perform_step(
    config: StepConfig, start: ModelConfig | None, folder: Path, *, device: str, name: str
) -> dict[str, Any]:
    """Train one step, or find that it has been.

    Args:
        config: The step.
        start: The model that it starts from; None for a new one.
        folder: Where its product goes.
        device: See `TrainConfig`.
        name: For progress and record.

    Returns:
        The step's record, as in its `training.json`: `identity` (settings, data, start), `steps`,
        `tokens`, `seconds`, `parameters`, `trained_parameters`, `loss` and `validation` at the end.

    Raises:
        BadInputError: Data or model are bad, or the folder holds another step's product.
        TaskFailedError: If a loss or a gradient is not finite.
    """
    model = None if isinstance(config, PretrainConfig) or start is None else EmbeddingModel(start)
    what = _identity(config, model)
    if (record := _kept(folder, what, config, name)) is not None:
        return record
    refuse_to_replace(folder, start=None if model is None else model.folder)
    worker = Worker(device, config.dtype)
    tokenizer, network = _start(config, model, name)
    objective = build(config, tokenizer=tokenizer)
    if not objective.steps:
        raise BadInputError(
            f"{name}: the data are too few for one batch; give more text or pairs, more epochs, or "
            "a smaller max_length or held_out"
        )
    decoder = Decoder(network.to(worker.device), config)
    numbers = {
        "parameters": sum(one.numel() for one in network.parameters()),
        "trained_parameters": sum(one.numel() for one in decoder.trained.values()),
    }
    _make(folder)
    checkpoint = Checkpoint(folder, what, dtype=worker.dtype, processes=worker.count)
    with _alone(folder, worker):
        # Another process may have trained it since.
        if worker.any(worker.first and finished(folder, what, _defaults(config)) is not None):
            record = _kept(folder, what, config, name)
            assert record is not None
            return record
        log = train(
            objective, decoder, worker, config, folder=folder, checkpoint=checkpoint, name=name
        )
        last = log[-1] if log else {}
        record = {
            "name": name,
            "identity": what,
            "steps": objective.steps,
            **numbers,
            **{key: last.get(key) for key in ("tokens", "seconds", "loss", "validation")},
            "dtype": worker.dtype,
            "processes": worker.count,
            "version": __version__,
            "commit": _commit(),
            "software": software_record(_LIBRARIES),
            "hardware": hardware_record(),
        }
        if worker.first:
            # Adapters that the model had are merged in memory alone: new ones fit no folder.
            base = None if model is None or model.adapters else str(model.folder.resolve())
            save(decoder, tokenizer, folder, dtype=config.save_dtype, base=base)
            if isinstance(config, ContrastiveConfig) and objective.held_out:
                write_collection(folder / HELD_OUT, objective.held_out)
            write_record(folder, record)
            checkpoint.remove()
    worker.wait()
    return record


def _kept(
    folder: Path, what: dict[str, Any], config: StepConfig, name: str
) -> dict[str, Any] | None:
    """The record of a step that has been made, which is said; None where it has not."""
    record = finished(folder, what, _defaults(config))
    if record is not None and is_first_process():
        say(f"{name}: kept, {folder} has been trained")
    return record


def _start(config: StepConfig, model: EmbeddingModel | None, name: str) -> tuple[Any, Any]:
    """The tokenizer and the network that a step starts from.

    Raises:
        BadInputError: If they do not fit each other, or the step's settings.
    """
    if model is None:
        assert isinstance(config, PretrainConfig)
        tokenizer = train_tokenizer(
            read_texts(Path(config.text)),
            vocabulary=config.vocabulary,
            max_length=config.positions,
        )
        return tokenizer, new_llama(config, tokenizer)
    for setting in ("max_length", "query_max_length"):
        length = getattr(config, setting, 0)
        if model.positions is not None and length > model.positions:
            raise BadInputError(
                f"{name}: {setting}={length} is above the {model.positions} positions "
                "that the model has by its config.json; lower it"
            )
    network = load_decoder(model)
    tokenizer, rows = model.tokenizer, len(network.get_input_embeddings().weight)
    # Tokens that were added and stand for pictures or the like are in no text.
    used = max(padding_token(tokenizer), tokenizer.mask_token_id or 0, tokenizer.vocab_size - 1)
    if used >= rows:
        raise BadInputError(
            f"{name}: the tokenizer in {model.tokenizer_folder} uses a token of id {used}, but the "
            f"model in {model.folder} has embeddings of {rows} tokens only; remove the tokens that "
            "were added to the tokenizer, or give a model that has embeddings of them"
        )
    return tokenizer, network


@contextmanager
def _alone(folder: Path, worker: Worker) -> Iterator[None]:
    """Keep other trainings out of a folder: they would replace each other's checkpoints.

    Raises:
        BadInputError: If another is under way there.
    """
    if not worker.first:
        yield
        return
    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise BadInputError(
            f"{folder} is being trained by another process; wait for it, or choose another output"
        ) from error
    try:
        yield
    finally:
        lock.release()


def _identity(config: StepConfig, model: EmbeddingModel | None) -> dict[str, Any]:
    """All that decides what a step makes: settings, the data's content, what it starts from."""
    files = {name: getattr(config, name, None) for name in ("text", "pairs")}
    settings = {key: value for key, value in identity(config).items() if key not in files}
    if (part := getattr(config, "chunk_tokens", PART_TOKENS)) < PART_TOKENS and config.dropout:
        settings["chunk_tokens"] = part  # each part has draws of its own
    data = {name: file_digest(Path(path)) for name, path in files.items() if path}
    return {
        "settings": settings,
        "data": data,
        "start": None if model is None else model.weights_hash[:16],
        "attention": None if model is None else model.config.attention,
    }


def _defaults(config: StepConfig) -> dict[str, Any]:
    return {one.name: one.default for one in fields(config) if one.default is not MISSING}


def _make(folder: Path) -> None:
    """Make the output folder, before hours are spent on what goes there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInputError(
            f"output={folder} cannot be made a folder ({error.strerror}); name another one"
        ) from error


def _commit() -> dict[str, Any] | None:
    found = git_commit(Path(__file__).parent)
    return None if found is None else asdict(found)
