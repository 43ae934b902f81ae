"""Encoders that a file names, and folders of models with code in them: nothing of it runs."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hostile_place import BOX, Evil, contents
from PIL import Image
from safetensors.torch import save_file

from triform import cli
from triform.base.settings.config import load, write_yaml
from triform.engine.checkpoints import checkpoint
from triform.pretrained.shipped_weights import shipped
from triform.systems.voxel_gan.config import Config as VoxelConfig

State = dict[str, Any]
Refused = Callable[..., str]
GENERATE = ("voxel_gan", "generate", "--output", "new.obj", "--prompt", "a chair")
CODE = "open('executed', 'w').close()\n"
TINY_CLIP = {
    "embed_dim": 12,
    "vision_cfg": {"image_size": 16, "layers": 1, "width": 16, "patch_size": 8, "head_width": 8},
    "text_cfg": {
        "context_length": 16,
        "vocab_size": 128,
        "width": 16,
        "heads": 2,
        "layers": 1,
        "hf_tokenizer_name": "somebody/tokenizer",
        "tokenizer_kwargs": {"trust_remote_code": True},
    },
}


def write_clip(folder: Path, **settings: object) -> Path:
    """A whole CLIP in the format of open_clip, whose tokenizer is code beside it."""
    open_clip = pytest.importorskip("open_clip", reason="the extra `clip` is not installed")
    folder.mkdir(parents=True)
    model = open_clip.CLIP(**TINY_CLIP)
    save_file(model.state_dict(), folder / "open_clip_model.safetensors")
    config = {"model_cfg": TINY_CLIP, "preprocess_cfg": {}, **settings}
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    (folder / "config.json").write_text(json.dumps({"model_type": "bert"}))
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"auto_map": {"AutoTokenizer": ["evil.Tokenizer", None]}})
    )
    (folder / "evil.py").write_text(CODE + "class Tokenizer: pass\n")
    return folder


@pytest.fixture
def clip(place: Path) -> Path:
    return write_clip(place / "clip_folder")


def renamed(state: State, **model: object) -> State:
    config = {**state["config"], "model": {**state["config"]["model"], **model}}
    return {**state, "config": config}


def shipped_weights(name: str, path: Path, drop: str = "", **model: object) -> Path:
    """Weights that ship, with other settings of the model; the tensors of `drop` left out."""
    networks, config, system, metadata = checkpoint.load_weights(shipped(name))
    config["model"] |= model
    if "image_encoder" in model:  # a frozen one is trained on a file of features
        config["data"] |= {"image_embeddings": "features.npz"}
    stored = {
        network: {key: each for key, each in state.items() if not key.startswith(drop or "\0")}
        for network, state in networks.items()
    }
    checkpoint.export_weights(path, stored, config, system=system, metadata=metadata)
    return path


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize(
    "name", ["./clip_folder", "clip_folder", "hf-hub:somebody/model", "somebody/model", "/etc"]
)
def test_generate_loads_no_encoder_that_a_checkpoint_names(
    refused: Refused, place: Path, clip: Path, trained: State, suffix: str, name: str
) -> None:
    path = place / f"model{suffix}"
    state = renamed(trained, text_encoder=name)
    if suffix == ".pth":
        checkpoint.save(path, state)
    else:
        networks = {"cvae": trained["networks"]["cvae"]}
        checkpoint.export_weights(path, networks, state["config"], system="voxel_gan")
        name = Path(name).name if name.startswith("/") else name  # as it is written for sharing
    output = refused(*GENERATE, "--checkpoint", path.name, status=1, names="--text_encoder")
    assert path.name in output and repr(name) in output


def test_generate_reads_no_folder_that_is_called_like_a_known_encoder(
    refused: Refused, place: Path, trained: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`ViT-B-32/openai` means the published weights, whatever lies beside the checkpoint."""
    write_clip(place / "ViT-B-32" / "openai")
    checkpoint.save(place / "model.pth", renamed(trained, text_encoder="ViT-B-32/openai"))
    refused(*GENERATE, "--checkpoint", "model.pth", status=1, names="is not on this machine")


def test_generate_with_the_users_flag_runs_no_code(
    refused: Refused, place: Path, clip: Path, model: Path
) -> None:
    words = (*GENERATE, "--checkpoint", "model.pth", "--text_encoder", "clip_folder")
    refused(*words, status=1, names="tokenizer_kwargs")


def test_analyze_runs_no_code(refused: Refused, clip: Path) -> None:
    refused("voxel_gan", "analyze", "--text_encoder", str(clip), status=1, names="tokenizer_kwargs")


def test_auto_map_of_transformers_is_refused(refused: Refused, place: Path) -> None:
    folder = place / "bert"
    folder.mkdir()
    config = {"model_type": "bert", "auto_map": {"AutoModel": "evil.Model"}}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "evil.py").write_text(CODE)
    refused("voxel_gan", "analyze", "--text_encoder", "bert", status=1, names="'auto_map'")


@pytest.mark.parametrize("kind", ["rag", "timm_wrapper", "lightglue", "transfo-xl"])
def test_kinds_that_load_more_than_themselves_are_refused(
    refused: Refused, place: Path, kind: str
) -> None:
    (place / "folder").mkdir()
    (place / "folder" / "config.json").write_text(json.dumps({"model_type": kind}))
    refused("voxel_gan", "analyze", "--text_encoder", "folder", status=1, names=f"{kind!r} is not")


@pytest.fixture
def run(place: Path) -> Path:
    """A run of somebody else, which can be gone on with, and whose settings name a folder."""
    from hostile_place import presets

    config = load(VoxelConfig, presets() / "tiny.yaml")
    changed = config.model_copy(
        update={"model": config.model.model_copy(update={"text_encoder": "clip_folder"})}
    )
    folder = place / "their_run"
    (folder / "checkpoints").mkdir(parents=True)
    write_yaml(changed, folder / "config.yaml")
    return folder


def test_going_on_with_a_run_loads_nothing_that_it_names(
    refused: Refused, clip: Path, run: Path
) -> None:
    train = ("voxel_gan", "train", "--resume_from", "their_run")
    output = refused(*train, status=1, names="--text_encoder")
    assert "their_run/config.yaml" in output and "clip_folder" in output
    (run / "training.log").touch()
    config = ("voxel_gan", "train", "--config", "their_run/config.yaml")
    refused(*config, status=1, names="--text_encoder")


def test_going_on_with_the_users_flag_runs_no_code(
    refused: Refused, clip: Path, run: Path, boxes: Path
) -> None:
    words = ("--resume_from", "their_run", "--dataset", "boxes", "--text_encoder", "clip_folder")
    refused("voxel_gan", "train", *words, status=1, names="tokenizer_kwargs")


@pytest.fixture
def meshes(place: Path) -> Path:
    folder = place / "meshes"
    folder.mkdir()
    for number in (1, 2):
        (folder / f"box{number}.obj").write_text(BOX.replace("v 1", f"v {number}.5"))
    return folder


def search(*words: str) -> tuple[str, ...]:
    return (
        "retrieval",
        "search",
        "--gallery",
        "meshes",
        "--views",
        "false",
        "--checkpoint",
        "model.safetensors",
        *words,
    )


def test_search_by_text_loads_no_encoder_that_weights_name(
    refused: Refused, place: Path, clip: Path, meshes: Path
) -> None:
    shipped_weights("retrieval", place / "model.safetensors", text_encoder="./clip_folder")
    refused(*search("--text", "a box"), status=1, names="--text_encoder")
    words = search("--text", "a box", "--text_encoder", "clip_folder")
    refused(*words, status=1, names="tokenizer_kwargs")


def test_search_answers_with_the_encoder_that_the_user_names(
    place: Path, meshes: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The name in the file is not looked at then."""
    shipped_weights("retrieval", place / "model.safetensors", text_encoder="./clip_folder")
    assert cli.main([*search("--text", "a box", "--text_encoder", "minilm"), "--json"]) == 0
    assert {row["rank"] for row in json.loads(capsys.readouterr().out)} == {1, 2}


def frozen_retrieval(path: Path, encoder: str) -> None:
    """Weights whose image side reads features of a frozen encoder."""
    shipped_weights("retrieval", path, drop="encoder.", image_encoder=encoder)


def image(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8), "red").save(path)


def test_search_by_image_loads_no_encoder_that_weights_name(
    refused: Refused, place: Path, clip: Path, meshes: Path
) -> None:
    frozen_retrieval(place / "model.safetensors", "open_clip:./clip_folder")
    image(place / "query.png")
    words = search("--image", "query.png")
    refused(*words, status=1, names="--image_encoder")
    refused(*words, "--image_encoder", "clip_folder", status=1, names="tokenizer_kwargs")


def test_submit_loads_no_encoder_that_weights_name(
    refused: Refused, place: Path, clip: Path
) -> None:
    frozen_retrieval(place / "model.safetensors", "./clip_folder")
    image(place / "test/queries_image_to_mesh/a.png")
    image(place / "test/gallery_image_for_mesh/a_0.png")
    for name in ("gallery_mesh_for_image", "queries_mesh_to_image"):
        (place / "test" / name).mkdir()
        (place / "test" / name / "a.obj").write_text(BOX)
    refused(
        "retrieval",
        "submit",
        "--model",
        "model.safetensors",
        "--data",
        "test",
        status=1,
        names="--image_encoder",
    )


def test_embed_runs_no_code(refused: Refused, place: Path, clip: Path) -> None:
    image(place / "images/a_0.png")
    embed = ("retrieval", "embed", "--library", "images", "--image_encoder")
    refused(*embed, "clip_folder", status=1, names="tokenizer_kwargs")
    refused(*embed, "open_clip:clip_folder", status=1, names="tokenizer_kwargs")


@pytest.mark.parametrize(
    "settings",
    [
        {"pretrained_cfg": {"hf_hub_id": "somebody/model"}},
        {"pretrained_cfg": {"url": "https://example.org/weights.pth"}},
        {"pretrained_cfg": {"custom_load": True}},
        {"pretrained_cfg": {}, "model_args": {"backbone_name": "hf-hub:somebody/model"}},
        {"architecture": "hf-hub:somebody/model", "pretrained_cfg": {}},
    ],
)
def test_timm_is_told_no_other_place(
    refused: Refused, place: Path, settings: dict[str, object]
) -> None:
    image(place / "images/a_0.png")
    folder = place / "net"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"architecture": "test_vit", **settings}))
    torch.save({"weight": Evil()}, folder / "pytorch_model.bin")
    embed = ("retrieval", "embed", "--library", "images", "--image_encoder", "net")
    refused(*embed, status=1, names="is refused")


def test_pickles_of_timm_and_open_clip_are_not_executed(
    refused: Refused, place: Path, clip: Path
) -> None:
    image(place / "images/a_0.png")
    torch.save({"weight": Evil()}, place / "evil.pth")
    folder = place / "net"
    folder.mkdir()
    (folder / "config.json").write_text('{"architecture": "test_vit", "pretrained_cfg": {}}')
    os.link(place / "evil.pth", folder / "pytorch_model.bin")
    (clip / "open_clip_model.safetensors").unlink()
    os.link(place / "evil.pth", clip / "open_clip_pytorch_model.bin")
    plain = {**TINY_CLIP, "text_cfg": {"context_length": 16, "width": 16, "heads": 2, "layers": 1}}
    (clip / "open_clip_config.json").write_text(json.dumps({"model_cfg": plain}))
    (clip / "tokenizer_config.json").unlink()
    embed = ("retrieval", "embed", "--library", "images", "--image_encoder")
    refused(*embed, "net", status=1, names="nothing in it was executed")
    refused(*embed, "clip_folder", status=1, names="nothing in it was executed")
    refused(
        *embed,
        "test_vit",
        "--image_weights",
        "evil.pth",
        status=1,
        names="nothing in it was executed",
    )


def frozen_captioner(path: Path, **model: object) -> None:
    shipped_weights("captioner", path, drop="encoder.", **model)


@pytest.mark.parametrize(
    ("model", "flag"),
    [
        ({"encoder": "eva_giant_patch14_560"}, "--encoder"),
        ({"encoder": "./clip_folder"}, "--encoder"),
        ({"encoder_weights": "evil.pth"}, "--encoder_weights"),
        ({"encoder_weights": "their_run"}, "--encoder_weights"),
    ],
)
def test_caption_loads_no_encoder_that_weights_name(
    refused: Refused, place: Path, model: dict[str, str], flag: str
) -> None:
    frozen_captioner(place / "model.safetensors", **model)
    image(place / "image.png")
    torch.save({"weight": Evil()}, place / "evil.pth")
    caption = ("captioner", "caption", "--checkpoint", "model.safetensors", "--images")
    output = refused(*caption, "image.png", status=1, names=f"with {flag}\n")
    assert repr(next(iter(model.values()))) in output
    words = (*caption, "image.png", "--encoder", "test_vit", "--encoder_weights", "evil.pth")
    refused(*words, status=1, names="nothing in it was executed")


def test_nothing_was_executed(place: Path, clip: Path) -> None:
    """The code in these folders would leave a mark: the other tests look for one."""
    before = contents(place)
    exec(compile((clip / "evil.py").read_text(), "evil.py", "exec"), {})
    assert set(contents(place)) - set(before) == {"executed"}
