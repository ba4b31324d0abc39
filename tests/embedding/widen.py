"""A Llama with wider heads that computes the same: vLLM's kernels for CPUs take no narrow ones.

    python tests/embedding/widen.py FOLDER TARGET

The new dimensions of a head are zero. A pair of dimensions that rotary positions turn together
stays a pair and turns as fast: the base is raised to the factor by which heads are wider. Attention
divides by the root of the new width, so queries are multiplied by the root of the factor.
"""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

WIDTH = 32


def widen(source: Path, target: Path) -> Path:
    """Write the widened model beside what else the source holds."""
    config = json.loads((source / "config.json").read_text())
    assert config["model_type"] == "llama"
    rope = config["rope_parameters"]
    assert rope["rope_type"] == "default"
    width = config["head_dim"]
    factor = WIDTH // width
    target.mkdir(parents=True)
    for file in source.iterdir():
        shutil.copyfile(file, target / file.name)
    rope["rope_theta"] **= factor
    (target / "config.json").write_text(json.dumps(config | {"head_dim": WIDTH}))
    half = np.arange(width // 2)
    places = np.concatenate([half, WIDTH // 2 + half])

    def spread(rows: np.ndarray) -> np.ndarray:
        heads = rows.reshape(-1, width, rows.shape[1])
        wide = np.zeros((len(heads), WIDTH, rows.shape[1]), rows.dtype)
        wide[:, places] = heads
        return wide.reshape(-1, rows.shape[1])

    tensors = load_file(source / "model.safetensors")
    for name, tensor in tensors.items():
        if name.endswith(("k_proj.weight", "v_proj.weight")):
            tensors[name] = spread(tensor)
        elif name.endswith("q_proj.weight"):
            tensors[name] = spread(tensor) * np.float32(factor**0.5)
        elif name.endswith("o_proj.weight"):
            tensors[name] = np.ascontiguousarray(spread(tensor.T).T)
    save_file(tensors, target / "model.safetensors", metadata={"format": "pt"})
    return target


if __name__ == "__main__":
    widen(Path(sys.argv[1]), Path(sys.argv[2]))
