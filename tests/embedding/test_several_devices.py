"""Workers on several devices: the vectors of one, whoever computes them and whoever dies."""

import gc
import os
import signal
import threading
from dataclasses import asdict

import numpy as np
import psutil
import pytest

from harness.config import ModelConfig, TransformersBackendConfig, build, parse_component
from harness.embedding.crew import Crew
from harness.embedding.model import EmbeddingModel
from harness.embedding.several_devices import SeveralDevices
from tests.embedding.passes import backend, embedded, prompts_of
from tests.embedding.short_of_memory import ShortRecipe
from tests.embedding.worker_processes import workers_of

ROWS = [
    np.random.default_rng(number).integers(3, 60, 1 + number % 29).tolist() for number in range(120)
]
VOCABULARY = 200  # of tiny_bert, at most

pytestmark = pytest.mark.usefixtures("one_thread")  # workers have one each, so bits are the same


def several(folder, devices, pooling="mean", **options):
    return backend(folder, pooling, SeveralDevices, devices=devices, token_budget=64, **options)


def one(folder, pooling="mean", **options):
    return backend(folder, pooling, device="cpu", token_budget=64, **options)


def passes(each, prompts, **options):
    """The batches of a pass, as sets of rows with their tokens, in no order."""
    stream = each.embed(prompts, include_instruction=options.get("include_instruction", True))
    return sorted((tuple(rows.tolist()), computed) for rows, _, computed in stream)


def workers():
    return workers_of(os.getpid())


@pytest.fixture(scope="module")
def two(tiny_bert, one_thread):
    return several(tiny_bert, ["cpu", "cpu"])


class TestTwo:
    """Two workers on the CPU, which all tests of the class share: loading takes seconds."""

    @pytest.mark.parametrize("include_instruction", [True, False])
    def test_the_same_bits_from_the_same_batches(self, two, tiny_bert, include_instruction):
        prompts = prompts_of(ROWS, starts=[min(2, len(row) - 1) for row in ROWS])
        alone = one(tiny_bert)
        options = {"include_instruction": include_instruction}
        np.testing.assert_array_equal(
            embedded(two, prompts, **options), embedded(alone, prompts, **options)
        )
        assert passes(two, prompts) == passes(alone, prompts)
        assert len(workers()) == 2

    def test_a_pass_that_is_given_up_disturbs_no_other(self, two, tiny_bert):
        other = prompts_of([[7] * 40] * 30)
        stream = two.embed(other, include_instruction=True)
        next(stream)
        stream.close()
        prompts = prompts_of(ROWS)
        np.testing.assert_array_equal(embedded(two, prompts), embedded(one(tiny_bert), prompts))

    def test_a_query_alone_does_not_go_to_them(self, two, tiny_bert):
        """With all workers stopped it is answered still."""
        two.load()
        for worker in workers():
            worker.suspend()
        try:
            found = embedded(two, prompts_of(ROWS[:1]))
        finally:
            for worker in workers():
                worker.resume()
        np.testing.assert_array_equal(found, embedded(one(tiny_bert), prompts_of(ROWS[:1])))

    def test_one_that_is_killed(self, two, tiny_bert):
        """It is stopped before it can have done what it is given, and dies within the pass."""
        two.load()
        [first, second] = workers()
        first.suspend()
        prompts = prompts_of(ROWS)
        stream = two.embed(prompts, include_instruction=True)
        vectors = {}
        for rows, found, _ in stream:
            if first.is_running() and len(vectors) > len(ROWS) // 2:
                first.kill()
            vectors.update(zip(rows.tolist(), found, strict=True))
        found = np.array([vectors[row] for row in range(len(ROWS))])
        np.testing.assert_array_equal(found, embedded(one(tiny_bert), prompts))
        assert second in workers()
        assert first not in workers()
        assert len(workers()) == 2  # it has been started again


def interrupted_while_loading(folder):
    """As by Ctrl-C: the workers that were loading."""
    before = set(workers())

    def interrupt(number, frame):
        if len(workers()) == len(before) + 2:
            signal.setitimer(signal.ITIMER_REAL, 0)
            raise KeyboardInterrupt

    usual = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.1, 0.1)
    try:
        several(folder, ["cpu", "cpu"]).load()
    except KeyboardInterrupt:
        return set(workers()) - before
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, usual)


def test_workers_end_with_their_backend(tiny_bert):
    before = set(workers())
    started = interrupted_while_loading(tiny_bert)
    gc.collect()
    assert len(started) == 2
    # One that was interrupted while it was started is nobody's, and ends for want of its task.
    _, left = psutil.wait_procs(started, timeout=60)
    assert not left
    assert set(workers()) == before


def test_a_device_whose_worker_always_dies(tiny_bert, refusal):
    """Whatever is started is killed at once."""
    before, over = set(workers()), threading.Event()

    def kill():
        while not over.wait(0.002):
            for worker in set(workers()) - before:
                os.kill(worker.pid, signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        each = several(tiny_bert, ["cpu", "cpu"])
        message = refusal(lambda: embedded(each, prompts_of(ROWS)))
    finally:
        over.set()
        killer.join()
    assert message == (
        "a worker ended 3 times in a row, the last time on cpu (killed, as where memory runs out); "
        "name fewer devices in backend.devices, or lower backend.token_budget"
    )
    assert set(workers()) == before


@pytest.mark.parametrize(
    ("devices", "device", "says"),
    [
        (["cuda:7"], "auto", "backend.devices=cuda:7: "),
        (["cuda:0", "cuda:7"], "auto", "backend.devices=cuda:"),
        (["tpu"], "auto", "backend.devices='tpu' is unknown"),
        ("all", "auto", "backend.devices=all: this torch sees no GPU; use backend.devices=null"),
    ],
)
def test_devices_that_are_not_there(tiny_bert, refusal, devices, device, says):
    import torch

    if torch.cuda.is_available():
        pytest.skip("there are GPUs")
    each = several(tiny_bert, devices, device=device)
    assert refusal(lambda: each.dtype).startswith(says)


@pytest.mark.parametrize(
    ("devices", "device", "says"),
    [
        ([], "auto", "backend.devices=[] must be all, or name devices"),
        (["auto"], "auto", "backend.devices=['auto'] must be all, or name devices"),
        (["all", "cpu"], "auto", "must be all, or name devices"),
        ([0, 1], "auto", "backend.devices=[0, 1] must be all, or name devices"),
        (["cpu", "cuda:0"], "auto", "name cpu and cuda; name devices of one kind"),
        ("all", "cpu", "name cpu and cuda; name devices of one kind"),
        (["cuda:0"], "cpu", "name cpu and cuda; name devices of one kind"),
    ],
)
def test_devices_that_cannot_be(refusal, devices, device, says):
    mapping = {"kind": "transformers", "devices": devices, "device": device}
    assert says in refusal(lambda: parse_component("backend", mapping, where="backend"))


@pytest.mark.parametrize(
    ("devices", "parsed"),
    [(None, None), ("all", "all"), ("cpu", ["cpu"]), (["cuda:0", "cuda:1"], ["cuda:0", "cuda:1"])],
)
def test_devices_that_are_read(devices, parsed):
    config = parse_component(
        "backend", {"kind": "transformers", "devices": devices}, where="backend"
    )
    assert config.devices == parsed
    assert "devices" in asdict(config)


def test_device_and_dtype_need_no_model_and_no_worker():
    config = TransformersBackendConfig(devices=["cpu", "cpu"])
    each = build(config, model=None, pooling=None)
    assert (each.device, each.dtype, each.space) == ("cpu", "float32", {})
    assert each.device_count == 1
    each.__dict__["devices"] = ["cuda:0", "cuda:1", "cuda:1"]
    assert each.device_count == 2


def test_one_device_that_is_this_processs_own(tiny_bert):
    before = workers()
    each = several(tiny_bert, ["cpu"])
    each.load()
    np.testing.assert_array_equal(
        embedded(each, prompts_of(ROWS)), embedded(one(tiny_bert), prompts_of(ROWS))
    )
    assert workers() == before
    assert embedded(several(tiny_bert, ["cpu", "cpu"]), prompts_of([])).shape == (0,)
    assert workers() == before


@pytest.mark.slow
@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.parametrize("pooling", ["weighted_mean", "last_token", "cls", "splade"])
def test_poolings_and_counts(tiny_bert, count, pooling):
    prompts = prompts_of(ROWS)
    each = several(tiny_bert, ["cpu"] * count, pooling)
    np.testing.assert_array_equal(
        embedded(each, prompts), embedded(one(tiny_bert, pooling), prompts)
    )


@pytest.mark.slow
def test_padded_and_in_bfloat16(tiny_llama):
    prompts = prompts_of(ROWS)
    for options in ({"attention": "sdpa", "padding_side": "left"}, {"dtype": "bfloat16"}):
        each = several(tiny_llama, ["cpu", "cpu"], **options)
        np.testing.assert_array_equal(
            embedded(each, prompts), embedded(one(tiny_llama, **options), prompts)
        )


@pytest.mark.slow
def test_all_of_them_killed_within_a_pass(tiny_bert):
    each = several(tiny_bert, ["cpu", "cpu"])
    prompts = prompts_of(ROWS)
    vectors, seen = {}, set()
    for rows, found, _ in each.embed(prompts, include_instruction=True):
        if len(seen) < 4:
            for worker in workers():
                seen.add(worker.pid)
                worker.kill()
        vectors.update(zip(rows.tolist(), found, strict=True))
    found = np.array([vectors[row] for row in range(len(ROWS))])
    np.testing.assert_array_equal(found, embedded(one(tiny_bert), prompts))
    assert len(seen) >= 4


@pytest.mark.slow
def test_a_batch_that_every_worker_dies_of(tiny_bert, refusal):
    """A token that the model does not have is an error of torch that no one foresees."""
    each = several(tiny_bert, ["cpu", "cpu"])
    before = workers()
    message = refusal(lambda: embedded(each, prompts_of([*ROWS, [VOCABULARY] * 12])))
    assert " ended 3 times in a row, the last time on cpu (IndexError: index out of" in message
    gc.collect()
    assert workers() == before
    assert embedded(each, prompts_of(ROWS)).shape == (len(ROWS), 16)  # all are started anew


@pytest.mark.slow
def test_a_model_that_cannot_be_loaded(tiny_bert, tmp_path, refusal):
    import shutil

    folder = shutil.copytree(tiny_bert, tmp_path / "damaged")
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    message = refusal(lambda: embedded(one(folder), prompts_of(ROWS)))
    each = several(folder, ["cpu", "cpu"])
    for _ in range(2):
        assert refusal(each.load) == message
        assert workers() == []


@pytest.mark.slow
def test_a_device_without_memory_for_a_batch(tiny_bert, refusal):
    """The worker halves it, and batches to come are as small as the largest that passed."""
    each = several(tiny_bert, ["cpu", "cpu"])
    recipes = [ShortRecipe(**vars(recipe)) for recipe in each._crew._recipes]
    each.__dict__["_crew"] = Crew(recipes)
    prompts = prompts_of(ROWS)
    found = embedded(each, prompts)
    np.testing.assert_allclose(found, embedded(one(tiny_bert), prompts), rtol=0, atol=1e-6)
    tokens = [computed for _, computed in passes(each, prompts)]
    assert sum(tokens) == sum(map(len, ROWS))
    assert max(tokens) <= 50
    long = prompts_of([[5] * 60, *ROWS])
    message = refusal(lambda: embedded(each, long))
    assert message.startswith("a text of 60 tokens does not fit into the memory of cpu; ")
    assert embedded(each, prompts).shape == found.shape  # they go on living


@pytest.mark.slow
def test_it_reads_the_folder_that_was_found(tiny_bert, tmp_path):
    """A name on the hub may mean another revision by the time that workers start."""
    import shutil

    folder = shutil.copytree(tiny_bert, tmp_path / "model")
    pooling = build(parse_component("pooling", {"kind": "mean"}, where="pooling"))
    model = EmbeddingModel(ModelConfig(path=str(folder)))
    config = TransformersBackendConfig(devices=["cpu", "cpu"], token_budget=64)
    each = SeveralDevices(config, model=model, pooling=pooling)
    _ = model.root, model.folder, model.adapters
    moved = folder.rename(tmp_path / "moved")
    vars(model).update(root=moved, folder=moved)
    found = embedded(each, prompts_of(ROWS))
    np.testing.assert_array_equal(found, embedded(one(tiny_bert), prompts_of(ROWS)))
