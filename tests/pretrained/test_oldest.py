"""The oldest versions that pyproject.toml allows of what reads files of models."""

import json
import os
import re
import subprocess
import sys
from itertools import chain
from pathlib import Path

import pytest
import tomllib
from packaging.version import Version

from triform.pretrained import weight_files

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
READERS = (
    "timm",
    "transformers",
    "open_clip_torch",
    "safetensors",
    "tokenizers",
    "huggingface_hub",
)
"""torch is the one of this environment: its oldest would be gigabytes with the files of CUDA."""
PROGRAM = '''
"""Hostile and honest files, through our loaders; says what came of each."""
import importlib.metadata, json, os, sys
from pathlib import Path
import open_clip, timm, torch
from safetensors.torch import save_file
from triform.base.errors import UserError
from triform.pretrained.feature_maps import load_feature_maps
from triform.pretrained.image_encoder import load_image_encoder
from triform.pretrained.text_encoder import load_text_encoder

class Evil:
    def __reduce__(self):
        return os.system, ("touch executed",)

def outcome(load):
    try:
        return f"loaded, {load().dim} wide"
    except UserError as error:
        return str(error)

place = Path.cwd()
net, clip, bert = (place / name for name in ("net", "clip", "bert"))
for folder in (net, clip, bert):
    folder.mkdir()
torch.save({"weight": Evil()}, place / "evil.pth")
network = timm.create_model("test_vit")
torch.save(network.state_dict(), place / "good.pth")
(net / "config.json").write_text(
    json.dumps({"architecture": "test_vit", "pretrained_cfg": {
        "num_classes": 1000, "classifier": "head", "input_size": [3, 160, 160],
    }})
)
tiny = {
    "embed_dim": 12,
    "vision_cfg": {"image_size": 16, "layers": 1, "width": 16, "patch_size": 8, "head_width": 8},
    "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
}
(clip / "open_clip_config.json").write_text(json.dumps({"model_cfg": tiny}))
(bert / "evil.py").write_text("open('executed', 'w').close()")
(bert / "config.json").write_text(
    json.dumps({"model_type": "bert", "auto_map": {"AutoModel": "evil.Model"}})
)
found = {"versions": {name: importlib.metadata.version(name) for name in sys.argv[1:]}}
for kind in ("evil", "good"):
    (net / "pytorch_model.bin").unlink(missing_ok=True)
    os.link(place / f"{kind}.pth", net / "pytorch_model.bin")
    (clip / "open_clip_pytorch_model.bin").unlink(missing_ok=True)
    if kind == "evil":
        os.link(place / "evil.pth", clip / "open_clip_pytorch_model.bin")
    else:
        torch.save(open_clip.CLIP(**tiny).state_dict(), clip / "open_clip_pytorch_model.bin")
    found[kind] = {
        "timm, folder": outcome(lambda: load_image_encoder("./net")),
        "timm, file": outcome(
            lambda: load_image_encoder("test_vit", weights=place / f"{kind}.pth")
        ),
        "open_clip, images": outcome(lambda: load_image_encoder("./clip")),
        "open_clip, texts": outcome(lambda: load_text_encoder("./clip")),
    }
try:
    load_feature_maps("test_vit", place / "evil.pth")
except UserError as error:
    found["evil"]["timm, maps"] = str(error)
found["code"] = outcome(lambda: load_text_encoder("./bert"))
from transformers import BertConfig, BertModel, BertTokenizerFast
(bert / "vocab.txt").write_text("\\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a"]))
BertTokenizerFast(str(bert / "vocab.txt")).save_pretrained(bert)
sizes = dict(hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8)
BertModel(BertConfig(vocab_size=6, **sizes)).save_pretrained(bert)
found["honest text"] = outcome(lambda: load_text_encoder("./bert"))
print(json.dumps(found))
'''


def oldest(name: str) -> str:
    """The least version that pyproject.toml allows."""
    every = [*PROJECT["dependencies"], *chain(*PROJECT["optional-dependencies"].values())]
    found = [
        match[1]
        for each in every
        if (match := re.fullmatch(rf"{re.escape(name)}>=([0-9.]+)", each.partition(";")[0].strip()))
    ]
    assert len(found) == 1, (name, found)
    return found[0]


@pytest.mark.slow
def test_the_oldest_readers_execute_nothing(tmp_path: Path) -> None:
    """Pickles and code are refused, honest files load, with every reader at its oldest."""
    pytest.importorskip("open_clip", reason="the extra `clip` is not installed")
    packages, position = tmp_path / "packages", tmp_path / "place"
    position.mkdir()
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", packages]
    installed = subprocess.run(
        [*pip, *(f"{name}=={oldest(name)}" for name in READERS)], capture_output=True, text=True
    )
    assert installed.returncode == 0, installed.stderr
    source = Path(weight_files.__file__).parents[2]
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM, *READERS],
        cwd=position,
        capture_output=True,
        text=True,
        env={
            **os.environ,
            "PYTHONPATH": f"{packages}{os.pathsep}{source}",
            "XDG_CACHE_HOME": str(tmp_path),
            "HF_HUB_OFFLINE": "1",
        },
    )
    assert run.returncode == 0, run.stderr
    found = json.loads(run.stdout.splitlines()[-1])
    for name in READERS:
        assert Version(found["versions"][name]) == Version(oldest(name))
    assert not (position / "executed").exists()
    assert len(found["evil"]) == 5
    for output in found["evil"].values():
        assert "nothing in it was executed" in output
    assert "'auto_map' is refused" in found["code"]
    assert all(output.startswith("loaded, ") for output in found["good"].values()), found
    assert found["honest text"] == "loaded, 8 wide"
