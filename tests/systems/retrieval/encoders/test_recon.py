"""Our point encoder against the published one.

`recon_official.json` was made by running the published code (qizekun/ShapeLLM, ReConV2, commit
f754b0d) with stand-ins for its compiled parts: names and shapes of every tensor at the published
sizes (`blocks.*` stands for all layers, with their number), and what a small network of it answers
with weights drawn as in `drawn` below.
"""

import json
import re
from pathlib import Path

import pytest
import torch

from triform.base.errors import UserError
from triform.base.seeding import generator
from triform.systems.retrieval.checkpoint_pair import load_point_encoder
from triform.systems.retrieval.encoders.recon import ReCon, ReConShape
from triform.systems.retrieval.encoders.recon_weights import (
    PRETRAINING_ONLY,
    SHAPES,
    load_into,
    official_state,
    shape_of,
)

OFFICIAL = json.loads(Path(__file__).with_name("recon_official.json").read_text())
COMPARED = ReConShape(128, 2, 2, layer_scale=1e-5, num_group=24, group_size=8, out_dim=1280)


def drawn(shapes):
    """Weights that depend on nothing but their names and shapes."""
    state = {}
    for key, shape in shapes.items():
        if key.endswith("num_batches_tracked"):
            state[key] = torch.tensor(0)
            continue
        numbers = torch.randn(shape, generator=generator("weights", key))
        if "running_var" in key:
            numbers = 0.5 + numbers.abs()
        elif "gamma" in key or (len(shape) == 1 and key.endswith("weight")):
            numbers = 1 + 0.1 * numbers
        elif len(shape) > 1 and "query" not in key:
            numbers = numbers * numbers[0].numel() ** -0.5
        else:
            numbers = 0.1 * numbers
        state[key] = numbers
    return state


@pytest.fixture(scope="module")
def encoder():
    network = ReCon(COMPARED, text_ratio=0.5).eval()
    shapes = {key: tensor.shape for key, tensor in network.state_dict().items()}
    load_into(network, drawn(shapes), "drawn")
    return network


@pytest.fixture(scope="module")
def cloud():
    scale = torch.tensor([0.3, 0.3, 0.3, 0.5, 0.5, 0.5])
    return torch.randn(2, 200, 6, generator=generator("cloud")) * scale


def table(network):
    """Tensor name with `*` for the layer -> shape and how many layers have it."""
    found = {}
    for key, tensor in network.state_dict().items():
        name = re.sub(r"blocks\.\d+\.", "blocks.*.", key)
        shape, count = found.get(name, (list(tensor.shape), 0))
        assert shape == list(tensor.shape)
        found[name] = (shape, count + 1)
    return found


@pytest.mark.parametrize("size", ["small", "base", "large"])
def test_names_and_shapes_are_the_published_ones(size):
    with torch.device("meta"):  # without memory for its weights
        mine = table(ReCon(SHAPES[size]))
    official = {
        key: (shape, count)
        for key, (shape, count) in OFFICIAL["shapes"][size].items()
        if not PRETRAINING_ONLY.match(key)
    }
    assert mine == official
    left_out = {k.split(".")[1] for k in OFFICIAL["shapes"][size] if PRETRAINING_ONLY.match(k)}
    assert left_out == {"decoder", "decoder_pos_embed", "norm"}


def test_answers_are_the_published_ones(encoder, cloud):
    with torch.no_grad():
        local, tokens = encoder.tokens(cloud[..., :3], cloud[..., 3:])
        img = torch.nn.functional.normalize(encoder.img_proj(tokens[:, :13]), dim=-1)
        text = torch.nn.functional.normalize(encoder.text_proj(tokens[:, 13:]), dim=-1)
        embedding = encoder(cloud[..., :3], cloud[..., 3:])
    expected = {name: torch.tensor(v) for name, v in OFFICIAL["outputs"].items()}
    # the file keeps 7 decimals; float32 through two layers of width 128 keeps about 6
    close = {"rtol": 0, "atol": 2e-6}
    torch.testing.assert_close(local[:, :3, :4], expected["local"], rtol=0, atol=2e-5)
    torch.testing.assert_close(img[:, ::6, :4], expected["img"], **close)
    torch.testing.assert_close(text[..., :4], expected["text"], **close)
    means = torch.stack([x.abs().mean() for x in (local, tokens, img, text)])
    torch.testing.assert_close(means, expected["mean"], rtol=1e-5, atol=0)
    combined = torch.nn.functional.normalize(img.mean(1) + 0.5 * text.mean(1), dim=-1)
    torch.testing.assert_close(embedding, combined)


def published(size_shapes, prefix="module."):
    """A file of the published kind: everything, the decoder included."""
    shapes = {}
    for key, (shape, count) in size_shapes.items():
        names = [key.replace("*", str(n)) for n in range(count)] if "*" in key else [key]
        shapes |= {prefix + name: shape for name in names}
    return {"base_model": drawn(shapes), "epoch": 299, "metrics": {}, "best_metrics": {}}


def test_a_published_file_loads(tmp_path):
    content = published(OFFICIAL["shapes"]["small"])
    torch.save(content, tmp_path / "best_lvis.pth")
    network, _ = load_point_encoder(tmp_path / "best_lvis.pth")
    assert network.shape == SHAPES["small"] and not network.training
    for key, tensor in network.state_dict().items():
        assert torch.equal(tensor, content["base_model"][f"module.{key}"]), key
    assert not any(parameter.requires_grad for parameter in network.parameters())
    # as the original retrieval project saves it: the bare state dict
    bare = {k.removeprefix("module."): v for k, v in content["base_model"].items()}
    assert shape_of(official_state(bare, "bare"), "bare") == SHAPES["small"]


def test_a_file_that_does_not_fit_is_one_line(tmp_path, encoder):
    state = {key: tensor.clone() for key, tensor in encoder.state_dict().items()}
    lacking = {k: v for k, v in state.items() if k != "model.encoder.ln_f2.weight"}
    with pytest.raises(UserError, match=r"lacks model\.encoder\.ln_f2\.weight"):
        load_into(encoder, lacking, "x.pth")
    with pytest.raises(UserError, match=r"img_proj\.weight is \(3, 128\)"):
        load_into(encoder, state | {"img_proj.weight": torch.zeros(3, 128)}, "x.pth")
    with pytest.raises(UserError, match="which the point encoder lacks"):
        load_into(encoder, state | {"model.cls_token": torch.zeros(1)}, "x.pth")
    for content in ({"a": 1}, [1], {"base_model": {"a": torch.zeros(1)}}):
        torch.save(content, tmp_path / "x.pth")
        with pytest.raises(UserError, match=r"x\.pth: no ReCon\+\+ weights"):
            load_point_encoder(tmp_path / "x.pth")


def test_inference_is_deterministic_and_whole(encoder, cloud):
    points, colors = cloud[..., :3], cloud[..., 3:]
    network = ReCon(COMPARED, drop_path_rate=0.3, mask_ratio=0.7).eval()
    with torch.no_grad():
        first = network(points, colors)
        assert torch.equal(first, network(points, colors))
        local, _ = network.tokens(points, colors)
        assert local.shape == (2, COMPARED.num_group, COMPARED.embed_dim)
        network.train()
        local, _ = network.tokens(points, colors)
        assert local.shape == (2, COMPARED.num_group - int(0.7 * 24), COMPARED.embed_dim)
        assert not torch.equal(first, network(points, colors))


def test_one_cloud_does_not_depend_on_the_others(encoder, cloud):
    points, colors = cloud[..., :3], cloud[..., 3:]
    with torch.no_grad():
        together = encoder(points, colors)
        alone = torch.cat([encoder(points[n : n + 1], colors[n : n + 1]) for n in range(2)])
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-6)


def test_order_of_points_matters_only_by_the_first(encoder, cloud):
    """The first point is the first centre; the rest may come in any order."""
    order = torch.cat([torch.tensor([0]), 1 + torch.randperm(199, generator=generator("order"))])
    with torch.no_grad():
        expected = encoder(cloud[..., :3], cloud[..., 3:])
        found = encoder(cloud[:, order, :3], cloud[:, order, 3:])
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)


def test_without_colours_a_constant_stands_for_them(encoder, cloud):
    points = cloud[..., :3]
    with torch.no_grad():
        torch.testing.assert_close(encoder(points), encoder(points, torch.full_like(points, 0.4)))


def test_queries_learn_different_things():
    """Upstream begins with sixteen equal queries, which stay equal under a mean over them."""
    query = ReCon(COMPARED).model.global_query[0]
    assert torch.pdist(query).min() > 0


def test_stop_grad_leaves_the_local_layers_alone(cloud):
    network = ReCon(COMPARED, stop_grad=True)
    network(cloud[..., :3], cloud[..., 3:]).sum().backward()
    blocks = network.model.encoder.blocks
    assert all(p.grad is None for p in blocks.local_blocks.parameters())
    assert any(p.grad.abs().sum() > 0 for p in blocks.global_blocks.parameters())
