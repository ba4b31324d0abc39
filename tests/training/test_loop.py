"""The loop on a network of one weight: its log, where it stops, and that it goes on from there."""

import json
import math
import signal

import pytest
import torch

from harness.errors import BadInputError, TaskFailedError
from harness.training.checkpoint import Checkpoint, Progress
from harness.training.loop import train
from tests.training.small import step, worker

IDENTITY = {"settings": {"seed": 0}}
MADE = {"dtype": "float32", "processes": 1}
TIMES = ("seconds", "tokens_per_second")


class Line:
    """A decoder of one weight."""

    def __init__(self):
        self.network = torch.nn.Linear(1, 1, bias=False)
        torch.nn.init.ones_(self.network.weight)
        self.trained = dict(self.network.named_parameters())
        self.trained_embeddings, self.trained_head = [], None


class Pull:
    """Losses 1/3, 2/3, …; the gradient is drawn, as dropout is."""

    def __init__(self, steps, *, at=None, does=None):
        self.steps, self.at, self.does = steps, at, does
        self.made = []

    def backward(self, decoder, worker, step):
        self.made.append(step)
        decoder.network.weight.grad = torch.randn(1, 1)
        if step == self.at:
            told = self.does(decoder)
            if told is not None:
                return told, 10
        return (step + 1) / 3, 10

    def validate(self, decoder, worker):
        assert not decoder.network.training
        return float(len(self.made))


def run(folder, objective, *, identity=IDENTITY, **settings):
    decoder = Line()
    config = step("mntp", text="-", **{"learning_rate": 0.01, "validate_every": 30, **settings})
    log = train(
        objective,
        decoder,
        worker(),
        config,
        folder=folder,
        checkpoint=Checkpoint(folder, identity, **MADE),
        name="toy",
    )
    return decoder.network.weight.item(), log


def untimed(log):
    return [{key: value for key, value in line.items() if key not in TIMES} for line in log]


def test_a_checkpoint_made_otherwise_is_refused(tmp_path, refusal):
    made = Checkpoint(tmp_path, IDENTITY, dtype="bfloat16", processes=4)
    made.write(Progress(3), {"weight/a": torch.ones(1)})
    assert made.read()[0].steps == 3
    for other in ({"dtype": "float32"}, {"processes": 2}):
        own = {"dtype": "bfloat16", "processes": 4} | other
        message = refusal(lambda own=own: Checkpoint(tmp_path, IDENTITY, **own).read())
        assert "was made by 4 processes in bfloat16; go on with as many" in message


def test_log(tmp_path):
    _, log = run(tmp_path, Pull(45))
    assert [line["step"] for line in log] == [20, 30, 40, 45]
    # Means of 1/3 … 20/3, of 21/3 … 30/3, and so on.
    assert [line["loss"] for line in log] == pytest.approx([3.5, 8.5, 35.5 / 3, 43 / 3])
    assert [line["tokens"] for line in log] == [200, 300, 400, 450]
    assert [line.get("validation") for line in log] == [None, 30.0, None, 45.0]
    rise = round(0.05 * 45)
    peak = 0.005 * (1 + math.cos(math.pi * (19 - rise) / (45 - rise)))
    assert log[0]["learning_rate"] == pytest.approx(peak)
    assert all(line["gradient_norm"] > 0 for line in log)
    assert [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()] == log


def press(decoder):
    signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("at", [3, 19, 24, 29, 43, 44])
def test_what_is_interrupted_goes_on_as_if_it_had_not_been(tmp_path, at):
    weight, log = run(tmp_path / "whole", Pull(45), checkpoint_seconds=1e9)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "cut", Pull(45, at=at, does=press), checkpoint_seconds=1e9)
    assert (tmp_path / "cut" / ".checkpoint").is_dir()
    rest = Pull(45)
    resumed, again = run(tmp_path / "cut", rest, checkpoint_seconds=1e9)
    assert rest.made == list(range(at + 1, 45))
    assert resumed == weight
    validated = [line | {"validation": None} for line in untimed(again)]
    assert validated == [line | {"validation": None} for line in untimed(log)]


class KilledError(BaseException):
    pass


def kill(decoder):
    raise KilledError


def test_what_is_killed_goes_on_from_its_last_checkpoint(tmp_path):
    weight, log = run(tmp_path / "whole", Pull(45))
    with pytest.raises(KilledError):
        run(tmp_path / "cut", Pull(45, at=25, does=kill), checkpoint_seconds=0)
    rest = Pull(45)
    resumed, again = run(tmp_path / "cut", rest, checkpoint_seconds=0)
    assert rest.made == list(range(25, 45))
    assert resumed == weight
    assert [line["loss"] for line in again] == [line["loss"] for line in log]
    assert [line["tokens"] for line in again] == [200, 300, 400, 450]


def test_a_checkpoint_that_tells_nothing_of_the_next_line(tmp_path):
    state = {f"{part}/weight": torch.zeros(1, 1) for part in ("weight", "exp_avg", "exp_avg_sq")}
    checkpoint = Checkpoint(tmp_path, IDENTITY, **MADE)
    checkpoint.write(Progress(43), state)
    progress, _ = checkpoint.read()
    assert progress == Progress(43, [], {})
    _, log = run(tmp_path, Pull(45))
    assert untimed(log)[0]["loss"] == pytest.approx(44.5 / 3)


def poison(decoder):
    decoder.network.weight.grad.fill_(math.nan)


@pytest.mark.parametrize(
    ("does", "says"),
    [
        (lambda decoder: math.nan, "the loss of step 7 is not finite"),
        (lambda decoder: math.inf, "the loss of step 7 is not finite"),
        (poison, "the gradient of step 7 is not finite"),
    ],
)
def test_what_is_not_finite_ends_it(tmp_path, does, says):
    with pytest.raises(TaskFailedError, match=says) as caught:
        run(tmp_path, Pull(9, at=7, does=does), checkpoint_seconds=0)
    assert "train.learning_rate" in str(caught.value)
    progress, state = Checkpoint(tmp_path, IDENTITY, **MADE).read()
    assert progress.steps == 7  # the last good one
    assert all(bool(tensor.isfinite().all()) for tensor in state.values())


def test_validation_that_is_not_finite_ends_it(tmp_path):
    objective = Pull(3)
    objective.validate = lambda decoder, worker: math.nan
    with pytest.raises(TaskFailedError, match="validation"):
        run(tmp_path, objective)


def test_a_damaged_checkpoint_is_refused(tmp_path, refusal):
    with pytest.raises(KilledError):
        run(tmp_path, Pull(9, at=5, does=kill), checkpoint_seconds=0)
    path = tmp_path / ".checkpoint" / "state.safetensors"
    path.write_bytes(path.read_bytes()[:-9])
    message = refusal(lambda: run(tmp_path, Pull(9)))
    assert f"{path} is damaged; remove {tmp_path / '.checkpoint'}" in message


def test_a_checkpoint_of_other_settings_is_refused(tmp_path, refusal):
    with pytest.raises(KilledError):
        run(tmp_path, Pull(9, at=5, does=kill), checkpoint_seconds=0)
    message = refusal(lambda: run(tmp_path, Pull(9), identity={"settings": {"seed": 1}}))
    assert "other settings or data" in message
    assert "choose another output" in message


def test_a_checkpoint_replaces_the_one_before_and_leaves_nothing_beside(tmp_path):
    checkpoint = Checkpoint(tmp_path, IDENTITY, **MADE)
    assert checkpoint.read() is None
    (tmp_path / ".checkpoint").mkdir()
    (tmp_path / ".checkpoint" / ".state.x.tmp").write_bytes(b"of a killed process")
    for steps in (1, 2):
        progress = Progress(steps, [{"loss": 0.1}], {"losses": [0.1 + 0.2]})
        checkpoint.write(progress, {"weight/a": torch.tensor([float(steps)])})
    assert [file.name for file in (tmp_path / ".checkpoint").iterdir()] == ["state.safetensors"]
    found, state = checkpoint.read()
    assert found == progress
    assert state["weight/a"].tolist() == [2.0]
    checkpoint.remove()
    assert checkpoint.read() is None


def test_other_errors_are_their_own(tmp_path):
    def does(decoder):
        raise BadInputError("of the objective")

    with pytest.raises(BadInputError, match="of the objective"):
        run(tmp_path, Pull(9, at=2, does=does))
