"""Prototypical networks: what they compute, and the verbs from end to end."""

import copy
import json
import subprocess
import sys
from pathlib import Path

import matplotlib
import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw, ImageFont
from torch.nn import functional as F

from triform.base.errors import UserError
from triform.base.seeding import generator
from triform.base.settings.config import parse
from triform.datasets.images.load import load_images
from triform.systems.protonet.config import VERBS, Config, ModelConfig
from triform.systems.protonet.model import ProtoNet, prototypes, squared_distances
from triform.systems.protonet.system import Trained, classify, evaluate
from triform.tasks.few_shot.episodes import evaluation_sampler

PRESETS = Path(__file__).parents[3] / "src/triform/systems/protonet/presets"


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """A tiny trained run."""
    from triform.engine.verbs import train
    from triform.systems.protonet.system import System

    folder = tmp_path_factory.mktemp("protonet")
    flags = ["--config", "tiny", "--device", "cpu", "--runs_dir", str(folder)]
    return Path(train(System, parse(Config, flags, PRESETS))["run"])


def test_prototypes_are_means_whatever_the_order():
    torch.manual_seed(0)
    examples, labels = torch.randn(2, 6, 4), torch.tensor([[2, 0, 1, 0, 2, 1], [0, 0, 1, 1, 2, 2]])
    means = prototypes(examples, labels, 3)
    for task in range(2):
        for number in range(3):
            own = examples[task][labels[task] == number]
            torch.testing.assert_close(means[task, number], own.mean(0))
    order = torch.randperm(6)
    torch.testing.assert_close(prototypes(examples[:, order], labels[:, order], 3), means)


def test_distances_are_squared_euclidean():
    a, b = torch.randn(2, 5, 8), torch.randn(2, 3, 8)
    torch.testing.assert_close(
        squared_distances(a, b), torch.cdist(a, b).square(), atol=1e-4, rtol=1e-4
    )


def test_one_shot_is_the_nearest_neighbour():
    """With one example per class a prototype is that example."""
    torch.manual_seed(0)
    network = ProtoNet(ModelConfig(hidden_channels=8, num_blocks=2), 1, 8).eval()
    support, query = torch.rand(1, 4, 1, 8, 8), torch.rand(1, 7, 1, 8, 8)
    logits = network(support, torch.tensor([[3, 1, 0, 2]]), query, 4)
    points, requested = network.embedding(support[0]), network.embedding(query[0])
    nearest = torch.tensor([3, 1, 0, 2])[torch.cdist(requested, points).argmin(1)]
    assert torch.equal(logits[0].argmax(-1), nearest)


def test_cosine_ignores_length():
    torch.manual_seed(0)
    network = ProtoNet(ModelConfig(hidden_channels=8, num_blocks=2, metric="cosine"), 1, 8).eval()
    support, query = torch.rand(1, 4, 1, 8, 8), torch.rand(1, 3, 1, 8, 8)
    labels = torch.arange(4)[None]
    logits = network(support, labels, query, 4)
    points, requested = network.embedding(support[0]), network.embedding(query[0])
    expected = 10 * F.cosine_similarity(requested[:, None], points[None], dim=-1)
    torch.testing.assert_close(logits[0], expected)


def test_one_image_at_a_time_gives_the_same(run):
    """Inductive means that no image's answer depends on the others."""
    trained = Trained(run / "checkpoints" / "best.pth", torch.device("cpu"))
    sampler = evaluation_sampler(
        load_images("digits"), "test", n_way=2, n_shot=2, n_query=4, augment=False
    )
    episode = sampler([0], generator("test"))
    together = trained.logits(episode)
    for number in range(8):
        one = {**episode, "query": episode["query"][:, number : number + 1]}
        torch.testing.assert_close(trained.logits(one)[:, 0], together[:, number])
    before = {k: v.clone() for k, v in trained.network.state_dict().items()}
    labelled = trained.logits(episode, transductive=True)
    assert not torch.allclose(labelled, together)
    copied = copy.deepcopy(trained.network).train()  # norms look at all images of the task
    with torch.no_grad():
        expected = copied(episode["support"], episode["support_labels"], episode["query"], 2)
    torch.testing.assert_close(labelled, expected)
    assert not trained.network.training
    after = trained.network.state_dict()
    assert all(torch.equal(before[key], after[key]) for key in before)


def test_evaluate_says_how_it_was_measured(run):
    settings = parse(
        VERBS["evaluate"],
        ["--checkpoint", str(run), "--episodes", "20", "--n_way", "2", "--device", "cpu"],
    )
    first, second = evaluate(settings), evaluate(settings)
    assert first == second and first["mode"] == "inductive" and first["task"] == "2-way 1-shot"
    assert 0 < first["accuracy"] <= 100 and first["interval95"] > 0
    with pytest.raises(UserError, match="n_way 5 is too many"):
        evaluate(settings.model_copy(update={"n_way": 5}))


def test_classify_by_a_folder_of_examples(run, tmp_path):
    """Bars against crosses, on white paper, in another size than the network's."""
    drawn = {name: np.full((16, 16), 255, np.uint8) for name in ("bar", "ring")}
    drawn["bar"][7:9, 1:15] = 0
    drawn["ring"][2:14, 2:14] = 0
    drawn["ring"][5:11, 5:11] = 255
    for name, image in drawn.items():
        (tmp_path / "examples" / name).mkdir(parents=True)
        Image.fromarray(image).save(tmp_path / "examples" / name / "1.png")
        Image.fromarray(np.roll(image, 1, axis=0)).save(tmp_path / f"new_{name}.png")
    flags = ["--checkpoint", str(run), "--examples", str(tmp_path / "examples"), "--device", "cpu"]
    images = [str(tmp_path / f"new_{name}.png") for name in drawn]
    rows = classify(parse(VERBS["classify"], [*flags, "--images", *images]))
    assert [row["class"] for row in rows] == ["bar", "ring"]
    assert all(0.5 < row["probability"] <= 1 for row in rows)
    for wrong, message in (
        (["--images", str(tmp_path / "no.png")], "no images there"),
        (
            ["--images", str(tmp_path / "examples" / "bar"), "--examples", str(tmp_path / "no")],
            "there is no such folder",
        ),
        (
            ["--images", *images, "--examples", str(tmp_path / "examples" / "bar")],
            "two or more classes",
        ),
    ):
        with pytest.raises(UserError, match=message):
            classify(parse(VERBS["classify"], [*flags, *wrong]))
    (tmp_path / "examples" / "cross").mkdir()  # a class that was forgotten
    with pytest.raises(UserError, match="cross: no images of this class"):
        classify(parse(VERBS["classify"], [*flags, "--images", *images]))
    (tmp_path / "examples" / "cross" / "1.png").write_text("no image")
    with pytest.raises(UserError, match=r"cross/1\.png: damaged or no image"):
        classify(parse(VERBS["classify"], [*flags, "--images", *images]))


def test_weights_of_another_shape_are_refused(run, tmp_path):
    path = tmp_path / "other.pth"
    state = torch.load(run / "checkpoints" / "best.pth", weights_only=True)
    state["config"]["model"]["hidden_channels"] = 16
    torch.save(state, path)
    with pytest.raises(UserError, match="its weights do not fit its settings"):
        Trained(path, torch.device("cpu"))


def test_the_command_line(run, tmp_path):
    command = [sys.executable, "-m", "triform", "protonet", "evaluate", "--checkpoint", str(run)]
    command += ["--n_way", "2", "--episodes", "4", "--json", "--device", "cpu"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    assert json.loads(done.stdout)["episodes"] == 4


def test_the_shipped_weights_tell_unseen_letters_apart_across_typefaces(tmp_path):
    fonts = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    letters = {"omega": "\u03c9", "psi": "\u03c8", "xi": "\u03be", "lambda": "\u03bb"}
    for name, letter in letters.items():
        for file, font in (
            (tmp_path / "examples" / name / "a.png", "DejaVuSans.ttf"),
            (tmp_path / "new" / f"{name}.png", "DejaVuSerif-Bold.ttf"),
        ):
            file.parent.mkdir(parents=True, exist_ok=True)
            image = Image.new("L", (80, 80), 255)
            face = ImageFont.truetype(str(fonts / font), 52)
            ImageDraw.Draw(image).text((40, 40), letter, font=face, fill=0, anchor="mm")
            image.save(file)
    settings = VERBS["classify"](
        examples=tmp_path / "examples", images=(tmp_path / "new",), device="cpu"
    )
    answers = classify(settings)
    assert {Path(row["file"]).stem: row["class"] for row in answers} == {n: n for n in letters}
