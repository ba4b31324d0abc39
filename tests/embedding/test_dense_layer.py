"""Dense layers after pooling: by hand, and against sentence-transformers' own module."""

import json

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file
from safetensors.torch import save_file as save_torch_file

from harness.embedding import dense_layer
from harness.embedding.dense_layer import DenseLayer, apply_dense, read_dense

ACTIVATIONS = ("Identity", "Tanh", "ReLU", "GELU", "SiLU", "Sigmoid")
WEIGHT = np.array([[1, 2], [0, -1], [3, 0.5]], np.float32)
BIAS = np.array([10, 0, -1], np.float32)
VECTORS = np.array([[1, 1], [2, -4]], np.float32)
LINEAR = np.array([[13, -1, 2.5], [4, 4, 3]], np.float32)  # VECTORS @ WEIGHT.T + BIAS


@pytest.fixture
def layer_folder(tmp_path):
    """Makes a dense layer's subfolder, with more or other settings and tensors."""

    def make(tensors=None, **settings):
        folder = tmp_path / "2_Dense"
        folder.mkdir(exist_ok=True)
        plain = {"activation_function": "torch.nn.modules.linear.Identity"}
        (folder / "config.json").write_text(json.dumps(plain | settings))
        given = {"linear.weight": WEIGHT, "linear.bias": BIAS} if tensors is None else tensors
        save_file(given, folder / "model.safetensors")
        return folder

    return make


@pytest.fixture
def saved_dense(tmp_path):
    """A layer with random weights, as sentence-transformers saves it: the module and its folder."""
    from sentence_transformers.sentence_transformer.modules import Dense

    def make(activation, size_in=32, size_out=24, *, bias=True):
        folder = tmp_path / f"{activation}{size_in}"
        folder.mkdir()
        layer = Dense(
            size_in, size_out, bias=bias, activation_function=getattr(torch.nn, activation)()
        )
        torch.nn.init.normal_(layer.linear.weight, std=0.3)
        if bias:
            torch.nn.init.normal_(layer.linear.bias)
        layer.save(str(folder))
        return layer, folder

    with torch.random.fork_rng():
        torch.manual_seed(3)
        yield make


def vectors(count, width, seed=0):
    return np.random.default_rng(seed).normal(size=(count, width)).astype(np.float32)


def by_sentence_transformers(layers, inputs):
    features = {"sentence_embedding": torch.from_numpy(inputs)}
    with torch.inference_mode():
        for layer in layers:
            features = layer(features)
    return features["sentence_embedding"].numpy()


class TestByHand:
    @pytest.mark.parametrize(
        ("activation", "function"),
        [
            ("Identity", lambda x: x),
            ("Tanh", np.tanh),
            ("ReLU", lambda x: np.maximum(x, 0)),
            ("Sigmoid", lambda x: 1 / (1 + np.exp(-x))),
            ("SiLU", lambda x: x / (1 + np.exp(-x))),
        ],
    )
    def test_one_layer(self, activation, function):
        result = apply_dense([DenseLayer(WEIGHT, BIAS, activation)], VECTORS)
        assert result.dtype == np.float32
        np.testing.assert_allclose(result, function(LINEAR.astype(np.float64)), rtol=1e-6)

    def test_gelu_is_the_exact_one(self):
        one = np.ones((1, 1), np.float32)
        result = apply_dense([DenseLayer(one, None, "GELU")], one)
        np.testing.assert_allclose(result, [[0.8413447461]], rtol=1e-6)  # Φ(1), not its tanh form

    def test_without_bias(self):
        result = apply_dense([DenseLayer(WEIGHT, None, "Identity")], VECTORS)
        np.testing.assert_array_equal(result, LINEAR - BIAS)

    def test_layers_follow_each_other(self):
        second = DenseLayer(np.array([[1, 1, 1]], np.float32), np.array([-1], np.float32), "ReLU")
        result = apply_dense([DenseLayer(WEIGHT, BIAS, "Identity"), second], VECTORS)
        np.testing.assert_array_equal(result, [[13.5], [10]])
        assert apply_dense([DenseLayer(-WEIGHT, -BIAS, "Identity"), second], VECTORS).tolist() == [
            [0],
            [0],
        ]

    def test_no_layer_gives_the_vectors(self):
        assert apply_dense([], VECTORS) is VECTORS

    def test_no_vector(self):
        empty = np.zeros((0, 0), np.float32)
        assert len(apply_dense([DenseLayer(WEIGHT, BIAS, "Tanh")], empty)) == 0

    def test_the_vectors_are_left_alone(self):
        given = VECTORS.copy()
        given.setflags(write=False)  # as the store's memory-mapped ones are
        apply_dense([DenseLayer(WEIGHT, BIAS, "ReLU")], given)
        np.testing.assert_array_equal(given, VECTORS)


class TestAgainstSentenceTransformers:
    @pytest.mark.parametrize("activation", ACTIVATIONS)
    @pytest.mark.parametrize("bias", [True, False])
    def test_every_activation(self, saved_dense, activation, bias):
        layer, folder = saved_dense(activation, bias=bias)
        read = read_dense(folder)
        assert read.activation == activation
        assert (read.bias is not None) == bias
        inputs = vectors(50, 32)
        expected = by_sentence_transformers([layer], inputs)
        np.testing.assert_allclose(apply_dense([read], inputs), expected, rtol=0, atol=1e-6)

    def test_a_chain(self, saved_dense):
        chain = [saved_dense("GELU"), saved_dense("Tanh", 24, 48), saved_dense("Identity", 48, 7)]
        inputs = vectors(50, 32)
        expected = by_sentence_transformers([layer for layer, _ in chain], inputs)
        found = apply_dense([read_dense(folder) for _, folder in chain], inputs)
        assert found.shape == (50, 7)
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)

    def test_without_a_named_activation_both_take_tanh(self, saved_dense):
        from sentence_transformers.sentence_transformer.modules import Dense

        _, folder = saved_dense("Identity")
        settings = json.loads((folder / "config.json").read_text())
        del settings["activation_function"]
        (folder / "config.json").write_text(json.dumps(settings))
        inputs = vectors(20, 32)
        expected = by_sentence_transformers([Dense.load(str(folder))], inputs)
        read = read_dense(folder)
        assert read.activation == "Tanh"
        np.testing.assert_allclose(apply_dense([read], inputs), expected, rtol=0, atol=1e-6)


class TestBlocks:
    @pytest.mark.parametrize("rows", [1, 3, 7, 20, 21, 1000])
    def test_rows_at_a_time_change_nothing(self, monkeypatch, saved_dense, rows):
        layers = [read_dense(saved_dense("Tanh")[1]), read_dense(saved_dense("GELU", 24, 8)[1])]
        inputs = vectors(21, 32)
        whole = apply_dense(layers, inputs)
        monkeypatch.setattr(dense_layer, "_ROWS", rows)
        found = apply_dense(layers, inputs)
        assert found.shape == whole.shape
        np.testing.assert_allclose(found, whole, rtol=0, atol=1e-6)

    def test_exact_numbers_are_equal_in_every_block(self, monkeypatch):
        monkeypatch.setattr(dense_layer, "_ROWS", 4)
        inputs = np.tile(VECTORS, (9, 1))
        result = apply_dense([DenseLayer(WEIGHT, BIAS, "Identity")], inputs)
        np.testing.assert_array_equal(result, np.tile(LINEAR, (9, 1)))


class TestReading:
    def test_weights_and_bias(self, layer_folder):
        layer = read_dense(layer_folder())
        np.testing.assert_array_equal(layer.weight, WEIGHT)
        np.testing.assert_array_equal(layer.bias, BIAS)
        assert layer.activation == "Identity"

    @pytest.mark.parametrize("name", ["torch.nn.ReLU", "torch.nn.modules.activation.ReLU"])
    def test_either_path_to_an_activation(self, layer_folder, name):
        assert read_dense(layer_folder(activation_function=name)).activation == "ReLU"

    def test_half_precision_becomes_float32(self, layer_folder):
        layer = read_dense(layer_folder({"linear.weight": WEIGHT.astype(np.float16)}))
        assert layer.weight.dtype == np.float32
        np.testing.assert_array_equal(layer.weight, WEIGHT)
        assert layer.bias is None

    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
    def test_whatever_torch_saves_becomes_float32(self, layer_folder, dtype):
        folder = layer_folder()
        tensors = {"linear.weight": torch.from_numpy(WEIGHT), "linear.bias": torch.from_numpy(BIAS)}
        save_torch_file(
            {name: tensor.to(dtype) for name, tensor in tensors.items()},
            folder / "model.safetensors",
        )
        layer = read_dense(folder)
        assert layer.weight.dtype == layer.bias.dtype == np.float32
        np.testing.assert_array_equal(layer.weight, WEIGHT)
        np.testing.assert_array_equal(layer.bias, BIAS)


class TestRefusals:
    @pytest.mark.parametrize(
        "name",
        [
            "torch.nn.modules.activation.LeakyReLU",
            "torch.nn.modules.activation.Softmax",
            "torch.nn.functional.relu",
            "torch.load",
            "os.system",
            "my.code.Tanh",
            "Tanh",
            "",
            None,
            3,
        ],
    )
    def test_other_activations(self, layer_folder, name, refusal):
        folder = layer_folder(activation_function=name)
        message = refusal(lambda: read_dense(folder))
        assert str(folder) in message
        assert "is not supported; known are Identity, Tanh, ReLU, GELU, SiLU, Sigmoid" in message

    @pytest.mark.parametrize(
        "settings", [{"use_residual": True}, {"module_input_name": "token_embeddings"}]
    )
    def test_layers_that_do_more(self, layer_folder, settings, refusal):
        folder = layer_folder(**settings)
        message = refusal(lambda: read_dense(folder))
        assert str(folder) in message
        assert "only a plain dense layer on the embedding is supported" in message

    def test_no_weights(self, layer_folder, refusal):
        folder = layer_folder()
        (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
        message = refusal(lambda: read_dense(folder))
        assert str(folder / "model.safetensors") in message
        assert "convert pickle weights to safetensors" in message

    @pytest.mark.parametrize("content", [b"", b"not safetensors", b"\x80\x04."])
    def test_weights_that_cannot_be_read(self, layer_folder, content, refusal):
        folder = layer_folder()
        (folder / "model.safetensors").write_bytes(content)
        assert "holds no dense layer" in refusal(lambda: read_dense(folder))

    def test_other_tensors(self, layer_folder, refusal):
        folder = layer_folder({"weight": WEIGHT})
        assert "linear.weight" in refusal(lambda: read_dense(folder))

    @pytest.mark.parametrize(
        "tensors",
        [
            {"linear.weight": BIAS},
            {"linear.weight": WEIGHT[None]},
            {"linear.weight": WEIGHT, "linear.bias": BIAS[:2]},
            {"linear.weight": WEIGHT, "linear.bias": BIAS[:, None]},
        ],
        ids=["vector", "cube", "short-bias", "bias-of-rows"],
    )
    def test_tensors_of_other_shapes(self, layer_folder, tensors, refusal):
        folder = layer_folder({name: tensor.copy() for name, tensor in tensors.items()})
        message = refusal(lambda: read_dense(folder))
        assert message == f"{folder / 'model.safetensors'} holds no dense layer of sound shape"

    @pytest.mark.parametrize(
        ("layers", "taken", "given"), [([WEIGHT.T], 3, 2), ([WEIGHT, WEIGHT], 2, 3)]
    )
    def test_layers_of_another_width(self, layers, taken, given, refusal):
        layers = [DenseLayer(weight, None, "Identity") for weight in layers]
        message = refusal(lambda: apply_dense(layers, VECTORS))
        assert f"takes {taken} numbers and is given {given}; fetch the model again" in message

    def test_no_settings(self, layer_folder, refusal):
        folder = layer_folder()
        (folder / "config.json").unlink()
        assert str(folder / "config.json") in refusal(lambda: read_dense(folder))
