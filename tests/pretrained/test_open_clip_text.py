"""The CLIP path, on a tiny random model saved as open_clip saves one."""

import json

import numpy as np
import pytest

from triform.base.errors import UserError
from triform.pretrained import hub, open_clip_text
from triform.pretrained.text_encoder import load_text_encoder

TEXTS = ["a photo of a chair", "table", ""]
TINY = {
    "embed_dim": 12,
    "vision_cfg": {"image_size": 16, "layers": 1, "width": 16, "patch_size": 8, "head_width": 8},
    "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 2},
}


@pytest.fixture(scope="module")
def open_clip():
    return pytest.importorskip("open_clip", reason="the extra `clip` is not installed")


@pytest.fixture
def saved(open_clip, tmp_path):
    """A folder with a tiny CLIP, and the model that was saved."""
    import torch
    from safetensors.torch import save_file

    torch.manual_seed(0)
    model = open_clip.CLIP(**TINY).eval()
    save_file(model.state_dict(), tmp_path / "open_clip_model.safetensors")
    config = {"model_cfg": TINY, "preprocess_cfg": {}}
    (tmp_path / "open_clip_config.json").write_text(json.dumps(config))
    return tmp_path, model


def features(open_clip, model):
    import torch

    with torch.inference_mode():
        return model.encode_text(open_clip.SimpleTokenizer(context_length=16)(TEXTS)).numpy()


def test_folder(open_clip, saved):
    folder, model = saved
    encoder = load_text_encoder(str(folder))
    assert encoder.dim == 12
    np.testing.assert_allclose(encoder.encode(TEXTS), features(open_clip, model), atol=1e-6)
    assert encoder.encode([]).shape == (0, 12)


def test_vectors_are_not_normalised(saved):
    norms = np.linalg.norm(load_text_encoder(str(saved[0])).encode(TEXTS), axis=1)
    assert np.abs(norms - 1).min() > 1e-3


def test_fingerprint_follows_the_weights(saved):
    from safetensors.torch import load_file, save_file

    folder, _ = saved
    before = load_text_encoder(str(folder)).fingerprint
    assert load_text_encoder(str(folder)).fingerprint == before
    path = folder / "open_clip_model.safetensors"
    state = load_file(path)
    state["text_projection"][0, 0] += 1e-3
    save_file(state, path)
    assert load_text_encoder(str(folder)).fingerprint != before


def test_clip_by_name_takes_the_published_weights(open_clip, saved, monkeypatch):
    """`clip` is ViT-B/32 of OpenAI: asked of the hub by its repository, with QuickGELU."""
    folder, _ = saved
    requested = {}

    def hub_folder(repo, patterns, required, **_):
        requested.update(repo=repo, required=required)
        return folder

    def create_model(architecture, *, pretrained, force_quick_gelu, device):
        requested.update(architecture=architecture, weights=pretrained, gelu=force_quick_gelu)
        return open_clip.create_model(f"local-dir:{folder}", device=device)

    for module in (hub, open_clip_text):
        monkeypatch.setattr(module, "hub_folder", hub_folder)
    monkeypatch.setattr(
        open_clip_text, "import_open_clip", lambda _: Replaced(open_clip, create_model)
    )
    encoder = load_text_encoder("clip")
    assert requested == {
        "repo": "timm/vit_base_patch32_clip_224.openai",
        "required": ["open_clip_model.safetensors"],
        "architecture": "ViT-B-32",
        "weights": str(folder / "open_clip_model.safetensors"),
        "gelu": True,
    }
    assert encoder.name == "clip"


class Replaced:
    """open_clip with a creation and a tokenizer that fit the tiny model."""

    def __init__(self, module, create_model):
        self.module, self.create_model = module, create_model

    def __getattr__(self, name):
        return getattr(self.module, name)

    def get_tokenizer(self, architecture):
        assert architecture == "ViT-B-32"
        return self.module.SimpleTokenizer(context_length=16)


def test_published_name_without_hub_is_one_line(open_clip):
    for name in ("clip", "ViT-L-14/openai"):
        with pytest.raises(UserError, match="use minilm") as caught:
            load_text_encoder(name)
        assert "\n" not in str(caught.value)


def test_unknown_weights_name_the_known_ones(open_clip):
    with pytest.raises(UserError, match=r"no weights 'opeanai', only openai, .*laion"):
        load_text_encoder("ViT-B-32/opeanai")


def test_missing_package_names_the_extra(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "open_clip", None)
    with pytest.raises(UserError, match=r"pip install 'triform\[clip\]'"):
        load_text_encoder("clip")


def test_pickled_code_is_not_run(open_clip, saved, tmp_path):
    """Weights as a pickle with a payload: refused, and the payload did not run."""
    folder, _ = saved
    (folder / "open_clip_model.safetensors").unlink()
    witness = tmp_path / "ran"
    # A hand-made pickle that would call open(witness, "w") when it is loaded.
    payload = f"cbuiltins\nopen\n(V{witness}\nVw\ntR.".encode()
    (folder / "open_clip_pytorch_model.bin").write_bytes(payload)
    with pytest.raises(UserError, match="nothing in it was executed"):
        load_text_encoder(str(folder))
    assert not witness.exists()


def test_the_tokenizer_of_a_folder_is_read_from_it_alone(open_clip, saved, monkeypatch):
    """A tokenizer of transformers that lies in the folder, whatever repository is named."""
    import transformers

    folder, _ = saved
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "table"]
    (folder / "vocab.txt").write_text("\n".join(words))
    transformers.BertTokenizerFast(str(folder / "vocab.txt")).save_pretrained(folder)
    (folder / "config.json").write_text('{"model_type": "bert"}')
    config = {**TINY, "text_cfg": {**TINY["text_cfg"], "hf_tokenizer_name": "somebody/model"}}
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config}))
    requested = []
    original = transformers.AutoTokenizer.from_pretrained

    def from_pretrained(name, **given):
        requested.append(given)
        assert str(name) != str(folder)
        return original(name, **given)

    monkeypatch.setattr(transformers.AutoTokenizer, "from_pretrained", from_pretrained)
    encoder = load_text_encoder(str(folder))
    assert [(each["trust_remote_code"], each["local_files_only"]) for each in requested] == [
        (False, True)
    ]
    tokens = encoder._tokenizer(["table"])[0].tolist()
    assert tokens[:3] == [words.index(word) for word in ("[CLS]", "table", "[SEP]")]


def test_repositories_of_a_published_network_are_looked_at(open_clip, tmp_path, monkeypatch):
    """Networks of open_clip with a text half of transformers name its repository themselves."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "hub").mkdir()
    (tmp_path / "hub" / "config.json").write_text('{"auto_map": {"AutoModel": "evil.Model"}}')
    (tmp_path / "hub" / "open_clip_pytorch_model.bin").write_bytes(b"never read")
    requested = []

    def hub_folder(repo, patterns, required, **_):
        requested.append(repo)
        return tmp_path / "hub"

    for module in (hub, open_clip_text):
        monkeypatch.setattr(module, "hub_folder", hub_folder)
    monkeypatch.setattr(open_clip, "create_model", lambda *_, **__: pytest.fail("was made"))
    name = "roberta-ViT-B-32/laion2b_s12b_b32k"
    with pytest.raises(UserError, match=r"config\.json: 'auto_map' is refused"):
        load_text_encoder(name)
    assert requested[1:] == ["roberta-base"]
    (tmp_path / "roberta-base").mkdir()
    with pytest.raises(UserError, match=r"\./roberta-base is there"):
        load_text_encoder(name)
