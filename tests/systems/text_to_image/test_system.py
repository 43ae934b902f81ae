"""Stages, data with transparency, the verbs from the command line."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from triform import systems
from triform.base.errors import UserError
from triform.base.settings.config import parse
from triform.cli import main
from triform.engine.checkpoints.checkpoint import load_weights
from triform.engine.fit import fit
from triform.systems.text_to_image.config import Config, ModelConfig, SamplingConfig
from triform.systems.text_to_image.data import CaptionedImages, perturb
from triform.systems.text_to_image.evaluation import mean_distance
from triform.systems.text_to_image.generation import slerp
from triform.systems.text_to_image.system import System
from triform.systems.text_to_image.trained import Trained
from triform.tasks.captioning.data import load_table

COLORS = {"red": (220, 30, 30), "blue": (30, 60, 230)}


@pytest.fixture
def csv(tmp_path, monkeypatch) -> list[str]:
    """Discs of two colours on nothing, with their captions."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "images").mkdir()
    y, x = np.mgrid[:16, :16] - 7.5
    disc = (x**2 + y**2 < 36).astype(np.uint8) * 255
    lines = ["image,caption"]
    for number in range(40):
        name = list(COLORS)[number % 2]
        pixels = np.dstack([np.full((16, 16), value, np.uint8) for value in COLORS[name]])
        Image.fromarray(np.dstack([pixels, disc])).save(f"images/{number}.png")
        lines.append(f"{number}.png,a {name} disc")
    Path("captions.csv").write_text("\n".join(lines))
    return [
        *("--dataset", "csv", "--images_dir", "images", "--caption_file", "captions.csv"),
        *("--val_split", "0.25", "--image_size", "16", "--batch_size", "10", "--device", "cpu"),
    ]


def config(*flags: str) -> Config:
    return parse(Config, ["--config", "tiny", *flags], systems.load("text_to_image").presets)


def weights(system: System) -> dict[str, torch.Tensor]:
    return {
        f"{name}.{key}": tensor.clone()
        for name, network in system.networks.items()
        for key, tensor in network.state_dict().items()
    }


def changed(before: dict[str, torch.Tensor], after: dict[str, torch.Tensor]) -> set[str]:
    return {key.split(".")[0] for key in before if not torch.equal(before[key], after[key])}


@pytest.mark.parametrize(
    ("stage", "expected"),
    [("vae", {"vae"}), ("prior", {"prior"}), ("gan", {"generator", "discriminator"})],
)
def test_a_stage_trains_its_networks_alone(csv, stage, expected):
    first = fit(System(config(*csv, "--stage", "vae", "--epochs", "1"))).run_dir
    flags = [] if stage == "vae" else ["--initial_weights", str(first)]
    system = System(config(*csv, "--stage", stage, "--epochs", "1", *flags))
    if flags:
        system.load_initial_weights()
    before = weights(system)
    fit(system)
    assert changed(before, weights(system)) == expected


def test_a_prior_of_another_size_is_trained_on_the_same_vae(csv):
    first = fit(System(config(*csv, "--stage", "vae", "--epochs", "1"))).run_dir
    flags = ["--stage", "prior", "--initial_weights", str(first)]
    system = System(config(*csv, *flags, "--prior_width", "16"))
    system.load_initial_weights()
    saved = load_weights(first / "checkpoints/best.pth").networks["vae"]
    for name, tensor in system.vae.state_dict().items():
        assert torch.equal(tensor, saved[name])
    assert system.prior.proj_in.out_features == 16
    other = System(config(*csv, *flags, "--vae_width", "16"))
    with pytest.raises(UserError, match=r"vae\..* has shape .*; it was trained with --vae_width "):
        other.load_initial_weights()
    other = System(config(*csv, "--prior_width", "16", "--initial_weights", str(first)))
    with pytest.raises(UserError, match=r"prior\..* has shape .* --prior_width "):
        other.load_initial_weights()


def test_a_stage_is_resumed_by_its_run_alone(csv):
    """Its initial weights are in the run by then."""
    first = fit(System(config(*csv, "--stage", "vae", "--epochs", "1"))).run_dir
    flags = ["--stage", "prior", "--epochs", "2", "--initial_weights", str(first)]
    run = fit(System(config(*csv, *flags, "--max_steps", "3"))).run_dir
    presets = systems.load("text_to_image").presets
    system = System(parse(Config, ["--resume_from", str(run), "--max_steps", "0"], presets))
    assert system.config.training.stage == "prior"
    fit(system)
    whole = System(config(*csv, *flags))
    fit(whole)
    resumed, expected = weights(system), weights(whole)
    assert not [name for name in expected if not torch.equal(resumed[name], expected[name])]


def test_stages_follow_each_other_by_their_shares(csv):
    system = System(
        config(*csv, "--stage", "all", "--epochs", "5", "--stage_shares", "0.4", "0.4", "0.2")
    )
    assert len(system.loader) == 3
    stages = [system.stage_and_progress(step) for step in range(16)]
    names = [stage for stage, _ in stages]
    assert names == ["vae"] * 6 + ["prior"] * 6 + ["gan"] * 4
    assert [round(progress, 4) for _, progress in stages[12:]] == [0, 0.3333, 0.6667, 1]
    result = fit(system)
    assert result.best is not None and result.best["monitor"] == "val/kernel_distance"
    assert result.best["epoch"] == 5


def test_a_stage_without_a_share_is_left_out(csv):
    system = System(
        config(*csv, "--stage", "all", "--epochs", "2", "--stage_shares", "1", "1", "0")
    )
    names = [system.stage_and_progress(step)[0] for step in range(8)]
    assert names == ["vae"] * 3 + ["prior"] * 5


def test_transparency_is_kept_and_premultiplied(csv):
    settings = config(*csv)
    system = System(settings)
    assert system.data.channels == 4
    images = system.data.images([0])
    assert images.shape == (1, 4, 16, 16)
    assert images[0, :, 0, 0].tolist() == [0, 0, 0, 0]
    expected = torch.tensor([*COLORS["red"], 255]) / 255
    torch.testing.assert_close(images[0, :, 8, 8], expected)
    opaque = load_table(config(*csv, "--no_alpha").data, 0, alpha=False)
    data = CaptionedImages(opaque, 16, system_encoder(settings))
    assert data.channels == 3
    assert data.images([0])[0, :, 0, 0].tolist() == [1, 1, 1]


def system_encoder(settings: Config):
    from triform.pretrained.text_encoder import load_text_encoder

    return load_text_encoder(settings.model.text_encoder)


def test_learns_to_draw_two_discs(csv):
    """A prompt decides the colour, the noise does not; refined or not."""
    flags = ["--stage", "all", "--epochs", "120", "--lr", "0.003", "--sample_every", "0"]
    flags += ["--vae_width", "16", "--stage_shares", "0.4", "0.5", "0.1", "--evaluate_every", "120"]
    run = fit(System(config(*csv, *flags, "--ema_decay", "0.9"))).run_dir
    model = Trained.from_checkpoint(run / "checkpoints" / "best.pth", "cpu")
    text = model.embed(["a red disc", "a blue disc"]).repeat_interleave(3)
    base, refined = model.generate(text, SamplingConfig(guidance=1, refine=1))
    assert not torch.equal(base, refined)
    without, same = model.generate(text, SamplingConfig(guidance=1))
    assert torch.equal(without, base) and torch.equal(same, base)
    for images in (base, refined):
        middle = images[:, :, 6:10, 6:10].float().mean((2, 3))
        assert (middle[:3, 0] > middle[:3, 2] + 60).all() and (middle[:3, 3] > 200).all()
        assert (middle[3:, 2] > middle[3:, 0] + 60).all()
        assert (images[:, 3, 0, 0] < 60).all()


def test_verbs_from_the_command_line(csv, capsys):
    run = fit(System(config(*csv, "--epochs", "1"))).run_dir
    flags = ["--checkpoint", str(run), "--device", "cpu", "--steps", "2"]

    def answer(*command: str) -> dict:
        assert main(["text_to_image", *command, "--json"]) == 0, capsys.readouterr().err
        return json.loads(capsys.readouterr().out)

    prompts = ["--prompt", "a red disc", "a blue disc"]
    made = answer(
        "generate", *flags, *prompts, "--num_images", "3", "--show_stages", "--output", "a.png"
    )
    assert made["images"] == 6 and Image.open("a.png").mode == "RGB"
    made = answer("generate", *flags, *prompts, "--num_images", "1", "--output", "single")
    assert [Image.open(file).mode for file in made["files"]] == ["RGBA", "RGBA"]
    stages = ["--show_stages", "--num_images", "2", "--output"]
    made = answer("generate", *flags, *prompts, *stages, "all")
    assert [row["number"] for row in made["stages"]] == ["0", "1", "2", "3"]
    assert Image.open(made["stages"][3]["decoder"]).mode == "RGBA"
    like = ["--like", "1", "--variation", "0"]
    varied = answer("generate", *flags, *prompts[:2], *like, *stages, "like")
    assert [row["number"] for row in varied["stages"]] == ["1/0", "1/1"]
    pixels = [
        np.asarray(Image.open(row["image"])) for row in (made["stages"][1], *varied["stages"])
    ]
    assert (pixels[0] == pixels[1]).all() and (pixels[0] == pixels[2]).all()
    answer("interpolate", *flags, *prompts, "--num_images", "2", "--columns", "3")
    assert Path("interpolation.png").is_file()
    classifier = ["--width", "8", "--epochs", "1", "--runs_dir", "classifiers"]
    assert main(["text_to_image", "train_classifier", *csv, *classifier]) == 0
    (judge,) = Path("classifiers").glob("image_classifier/run_*")
    capsys.readouterr()
    judged = answer("evaluate", *flags, "--split", "val", "--classifier", str(judge))
    assert judged["prompts"] == 10
    low, high = judged["agreement_real_interval95"]
    assert 0 <= low <= judged["agreement_real"] <= high <= 1
    # Both colours are in the training with the very captions of the validation.
    assert judged["agreement_nearest_caption"] == judged["agreement_real"]
    lines = Path("captions.csv").read_text().splitlines()
    numbered = [lines[0], *(f"{line} {row}" for row, line in enumerate(lines[1:]))]
    Path("captions.csv").write_text("\n".join(numbered))
    report = answer("evaluate", *flags, "--split", "val", "--output", "nearest.png")
    assert report["prompts"] == 10 and "agreement" not in report
    evaluate = ["text_to_image", "evaluate", *flags, "--split", "val"]
    assert main([*evaluate, "--classifier", str(judge)]) == 1
    assert "was not trained on" in capsys.readouterr().err


def test_another_text_encoder_is_refused(csv, capsys):
    run = fit(System(config(*csv, "--epochs", "1"))).run_dir
    path = run / "checkpoints" / "best.pth"
    state = torch.load(path, weights_only=True)
    state["metadata"]["text_encoder"] = "another"
    torch.save(state, path)
    flags = ["--checkpoint", str(path), "--device", "cpu", "--prompt", "a red disc"]
    capsys.readouterr()
    assert main(["text_to_image", "generate", *flags]) == 1
    err = capsys.readouterr().err
    assert "other weights of the text encoder minilm" in err and err.count("\n") == 1


def test_a_clip_of_this_project_gives_conditions_of_both_kinds(csv, capsys):
    """A CLIP of this project, trained here, embeds texts and images of the prior's conditions."""
    clip = [
        *(csv[:8]),
        *("--image_size", "16", "--image_encoder", "conv", "--image_width", "4"),
        *("--text_width", "16", "--text_layers", "1", "--text_heads", "2", "--embed_dim", "16"),
        *("--vocab_size", "300", "--batch_size", "10", "--epochs", "1", "--device", "cpu"),
    ]
    assert main(["clip", "train", *clip]) == 0
    (clip_run,) = Path("runs/clip").glob("run_*")
    flags = ["--text_encoder", "triform-clip", "--clip", str(clip_run), "--image_condition", "0.5"]
    system = System(config(*csv, *flags, "--image_condition_noise", "0"))
    assert system.text_dim == 16
    batches = system.loader.fetch
    batch = batches(range(len(batches)), torch.Generator().manual_seed(0))
    is_text = (batch["sentence"] == batch["text"]).all(1)
    assert 0 < is_text.sum() < len(is_text)
    torch.testing.assert_close(
        batch["sentence"][~is_text], batches.image_embeddings[~is_text], atol=1e-6, rtol=0
    )
    run = fit(system).run_dir
    capsys.readouterr()
    generate = ["--checkpoint", str(run), "--device", "cpu", "--steps", "1", "--prompt", "a disc"]
    generate += ["--num_images", "1"]
    assert main(["text_to_image", "generate", *generate]) == 1
    assert "--clip" in capsys.readouterr().err  # a file may not name other files
    assert main(["text_to_image", "generate", *generate, "--clip", str(clip_run)]) == 0
    state = torch.load(run / "checkpoints" / "best.pth", weights_only=True)
    assert state["metadata"]["text_dim"] == 16


def test_perturbed_embeddings_have_length_one_and_the_share_of_noise():
    first, noise = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 7.0]])
    mixed = perturb(first, noise, 0.75)
    torch.testing.assert_close(mixed, torch.tensor([[0.25, 0.75]]) / np.hypot(0.25, 0.75))
    torch.testing.assert_close(perturb(first, noise, 0.0), first)


def test_slerp_is_the_rotation_from_one_to_the_other():
    first, last = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])
    middle = slerp(first, last, 1 / 3)
    expected = torch.tensor([np.cos(np.pi / 6), np.sin(np.pi / 6)]).float()
    torch.testing.assert_close(middle, expected)
    assert torch.equal(slerp(first, first, 0.5), first)


def test_mean_distance_of_a_right_triangle():
    assert mean_distance(torch.tensor([[0.0, 0.0], [3.0, 0.0], [0.0, 4.0]])) == pytest.approx(4)


def test_wrong_settings_are_one_line(csv, capsys):
    for flags, message in (
        (["--image_size", "20"], "no multiple of 8"),
        (["--stage", "prior"], "needs --initial_weights"),
        (["--prior_heads", "5"], "do not divide prior_width"),
        (["--stage_shares", "0", "0", "0"], "stage_shares"),
    ):
        assert main(["text_to_image", "train", "--config", "tiny", *csv, *flags]) == 2
        err = capsys.readouterr().err
        assert message in err and err.count("\n") == 1
    with pytest.raises(UserError, match="initial_weights"):
        System(config(*csv, "--initial_weights", "nowhere.pth"))
    assert ModelConfig().prior == "flow"
