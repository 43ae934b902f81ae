"""CLIP and SigLIP by name, on tiny random models saved as their libraries save them."""

import json
import math

import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from triform.base.errors import UserError
from triform.pretrained import hub, open_clip_text
from triform.pretrained.image_text import load_image_text_model, match_probs

TEXTS = ["a photo of a chair", "table", "a chair " * 40]
SIDE = 16


def images():
    """Two images of another shape and size than the networks'."""
    random = torch.Generator().manual_seed(0)
    pixels = torch.randint(256, (2, 20, 31, 3), generator=random, dtype=torch.uint8)
    return [Image.fromarray(each.numpy()) for each in pixels]


def open_clip_folder(folder, *, sigmoid=False):
    open_clip = pytest.importorskip("open_clip")
    from safetensors.torch import save_file

    vision = {"image_size": SIDE, "layers": 1, "width": 16, "patch_size": 8, "head_width": 8}
    text = {"context_length": 16, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1}
    config = {"embed_dim": 12, "vision_cfg": vision, "text_cfg": text}
    if sigmoid:
        config |= {"init_logit_bias": -7.0}
    torch.manual_seed(0)
    model = open_clip.CLIP(**config).eval()
    save_file(model.state_dict(), folder / "open_clip_model.safetensors")
    preprocessing = {"mean": [0.4, 0.5, 0.6], "std": [0.2, 0.3, 0.25], "size": [SIDE, SIDE]}
    content = {"model_cfg": config, "preprocess_cfg": preprocessing}
    (folder / "open_clip_config.json").write_text(json.dumps(content))
    return open_clip, model, preprocessing


def assert_equal(model, expected_images, expected_texts):
    for found, expected in (
        (model.encode_images(images()), expected_images),
        (model.encode_texts(TEXTS), expected_texts),
    ):
        assert found.dtype == torch.float32
        torch.testing.assert_close(found, F.normalize(expected, dim=-1), atol=1e-5, rtol=0)


@pytest.mark.parametrize("sigmoid", [False, True])
def test_open_clip_folder(tmp_path, sigmoid):
    open_clip, original, preprocessing = open_clip_folder(tmp_path, sigmoid=sigmoid)
    model = load_image_text_model(str(tmp_path))
    transform = open_clip.image_transform(
        SIDE, is_train=False, mean=preprocessing["mean"], std=preprocessing["std"]
    )
    with torch.inference_mode():
        expected = original.encode_image(torch.stack([transform(each) for each in images()]))
        tokens = open_clip.SimpleTokenizer(context_length=16)(TEXTS)
        assert_equal(model, expected, original.encode_text(tokens))
    assert model.scale == pytest.approx(1 / 0.07) and model.image_size == SIDE
    assert model.bias == (-7.0 if sigmoid else None)


def test_patches_of_open_clip_are_those_before_the_last_norm(tmp_path):
    open_clip, original, preprocessing = open_clip_folder(tmp_path)
    model = load_image_text_model(str(tmp_path))
    transform = open_clip.image_transform(
        SIDE, is_train=False, mean=preprocessing["mean"], std=preprocessing["std"]
    )
    visual = original.visual
    with torch.inference_mode():
        x = visual.conv1(torch.stack([transform(each) for each in images()]))
        x = x.flatten(2).transpose(1, 2)
        x = torch.cat([visual.class_embedding.expand(2, 1, -1), x], 1)
        x = visual.transformer(visual.ln_pre(x + visual.positional_embedding))
    patches = model.encode_patches(images())
    assert patches.shape == (2, 4, 16)
    torch.testing.assert_close(patches, x[:, 1:], atol=1e-5, rtol=0)


def tokenizer(folder, size, names=("input_ids",)):
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    words = ["<pad>", "<unk>", "a", "chair", "<start>", "<end>"]
    backend = Tokenizer(models.WordLevel({w: i for i, w in enumerate(words)}, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    backend.post_processor = processors.TemplateProcessing(
        single="<start> $A <end>", special_tokens=[("<start>", 4), ("<end>", 5)]
    )
    made = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token="<pad>",
        unk_token="<unk>",
        model_max_length=size,
        model_input_names=list(names),
    )
    made.save_pretrained(folder)
    return made


TOWER = {
    "hidden_size": 8,
    "intermediate_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
}
TEXT = {
    **TOWER,
    "vocab_size": 6,
    "max_position_embeddings": 7,
    "bos_token_id": 4,
    "eos_token_id": 5,
    "pad_token_id": 0,
}
VISION = {**TOWER, "image_size": SIDE, "patch_size": 4}


@pytest.mark.parametrize("kind", ["clip", "siglip"])
def test_transformers_folder(tmp_path, kind):
    import transformers

    words = tokenizer(tmp_path, 7)
    torch.manual_seed(0)
    if kind == "clip":
        config = transformers.CLIPConfig(text_config=TEXT, vision_config=VISION, projection_dim=6)
        original = transformers.CLIPModel(config).eval()
        size = {"shortest_edge": SIDE}
        processor = transformers.CLIPImageProcessor(
            size=size, crop_size={"height": SIDE, "width": SIDE}
        )
    else:
        config = transformers.SiglipConfig(text_config=TEXT, vision_config=VISION)
        original = transformers.SiglipModel(config).eval()
        original.logit_bias.data.fill_(-7.0)
        original.logit_scale.data.fill_(2.0)
        processor = transformers.SiglipImageProcessor(size={"height": SIDE, "width": SIDE})
    original.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)

    model = load_image_text_model(str(tmp_path))
    assert model.image_size == SIDE
    # SigLIP was trained on texts that are padded to their full length.
    padding = "max_length" if kind == "siglip" else "longest"
    tokens = words(TEXTS, padding=padding, truncation=True, max_length=7, return_tensors="pt")
    with torch.inference_mode():
        pixels = processor(images=images(), return_tensors="pt")
        expected = [original.get_image_features(**pixels), original.get_text_features(**tokens)]
    expected = [getattr(each, "pooler_output", each) for each in expected]
    assert_equal(model, *expected)
    scale, bias = (original.logit_scale.exp().item(), None) if kind == "clip" else (math.e**2, -7)
    assert model.bias == bias and model.scale == pytest.approx(scale)
    if kind == "siglip":
        with pytest.raises(UserError, match="not that of a CLIP"):
            model.encode_patches(images())
        return
    vision = original.vision_model
    with torch.inference_mode():
        x = vision.pre_layrnorm(vision.embeddings(pixels["pixel_values"]))
        for layer in vision.encoder.layers:
            output = layer(x, attention_mask=None)
            x = output if isinstance(output, torch.Tensor) else output[0]
    torch.testing.assert_close(model.encode_patches(images()), x[:, 1:], atol=1e-5, rtol=0)


def test_probabilities_are_a_softmax_or_sigmoids(tmp_path):
    for sigmoid in (False, True):
        folder = tmp_path / str(sigmoid)
        folder.mkdir()
        open_clip_folder(folder, sigmoid=sigmoid)
        model = load_image_text_model(str(folder))
        features, classes = model.encode_images(images()), model.encode_texts(TEXTS)
        probs = match_probs(model, features, classes)
        logits = features @ classes.T / 0.07
        expected = (logits - 7).sigmoid() if sigmoid else logits.softmax(1)
        torch.testing.assert_close(probs, expected, atol=1e-5, rtol=1e-4)


def test_published_name_asks_the_hub_for_its_weights(tmp_path, monkeypatch):
    """`ViT-B-32/openai` is looked for on the hub; without a network that is one line."""
    pytest.importorskip("open_clip")
    asked = {}

    def hub_folder(repo, patterns, required, **options):
        asked.update(repo=repo, **options)
        raise UserError(f"{repo}: {options['alternatives']}")

    monkeypatch.setattr(hub, "hub_folder", hub_folder)
    with pytest.raises(UserError, match="name a folder that holds the model"):
        load_image_text_model("ViT-B-32/openai")
    assert asked["repo"] == "timm/vit_base_patch32_clip_224.openai"
    with pytest.raises(UserError, match="name a folder that holds the model"):
        load_image_text_model("organisation/model")
    assert asked["repo"] == "organisation/model"
    assert open_clip_text.SETTINGS_FILES


def test_folders_that_hold_no_such_model(tmp_path):
    import transformers

    with pytest.raises(UserError, match=r"neither open_clip_config\.json nor config\.json"):
        load_image_text_model(str(tmp_path))
    with pytest.raises(UserError, match="there is no such folder"):
        load_image_text_model("./nowhere")
    tokenizer(tmp_path, 7, ("input_ids", "attention_mask"))
    config = transformers.BertConfig(**TOWER, vocab_size=6, max_position_embeddings=9)
    transformers.BertModel(config).save_pretrained(tmp_path)
    with pytest.raises(UserError, match="holds a text model alone"):
        load_image_text_model(str(tmp_path))


def test_settings_that_ask_for_code_are_refused(tmp_path):
    open_clip_folder(tmp_path)
    path = tmp_path / "open_clip_config.json"
    content = json.loads(path.read_text())
    content["model_cfg"]["text_cfg"]["tokenizer_kwargs"] = {"trust_remote_code": True}
    path.write_text(json.dumps(content))
    with pytest.raises(UserError, match="is refused"):
        load_image_text_model(str(tmp_path))
