"""Benchmarks of captions, few-shot learning and image generators run, small, for no figures."""

import re
import runpy

import pytest
from benchmark_process import BENCHMARKS, run

from triform import cli


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("caption_beam.py", "--images 4 --beam_size 3 --words 40 --width 16 --repeats 1"),
        ("caption_features.py", "--images 10 --repeats 1 --encoder random:resnet10t"),
        (
            "diffusion_step.py",
            "--dataset digits --repeats 1 --steps 1 --batch_size 4 --held_out 1",
        ),
        ("maml_step.py", "--preset tiny --repeats 1"),
        ("photo_index.py", "--images 4 --batch_size 2 --repeats 1 --model ViT-S-32-alt"),
    ],
)
def test_it_prints_a_ratio(name, words, tmp_path):
    output = run(tmp_path, name, *words.split(), "--threads", "1")
    ratios = re.findall(r"([\d.]+) times", output)
    assert ratios and all(float(ratio) > 0 for ratio in ratios)
    if name == "caption_beam.py":
        assert output.count("4 of 4 captions the same") == 3


def test_diffusion_samplers(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["diffusion", "train", "--config", "tiny", "--runs_dir", "runs"]) == 0
    (found,) = tmp_path.glob("runs/*/run_*")
    words = ["--num_samples", "200", "--samplers", "dpm:2", "ddpm:4", "--batch_size", "100"]
    output = run(tmp_path, "diffusion_samplers.py", "--checkpoint", str(found), *words)
    assert re.search(r"ddpm:4: \+0\.0000 ± .* from ddpm:4's kernel distance, 1\.0 times", output)
    assert float(re.findall(r"dpm:2: .* ([\d.]+) times as fast", output)[0]) > 0


def test_stability_gives_every_system_the_same_time_and_seeds(monkeypatch):
    benchmark = runpy.run_path(str(BENCHMARKS / "compare_generators.py"))
    requested = []

    def answer(*words):
        requested.append(words)
        number = float(len(requested))
        return {"run": "run", **dict.fromkeys(benchmark["STABILITY"], number)}

    monkeypatch.setitem(benchmark["stability"].__globals__, "triform", answer)
    monkeypatch.setitem(benchmark["measure"].__globals__, "triform", answer)
    found = benchmark["stability"](list(benchmark["SYSTEMS"]), 3, 0.5, "tiny")
    trained = [words for words in requested if words[1] == "train"]
    assert len(trained) == 12 and all(len(runs) == 3 for runs in found.values())
    assert {words[0] for words in trained} == set(benchmark["SYSTEMS"])
    for words in trained:
        flags = dict(zip(words[2::2], words[3::2], strict=True))
        assert (flags["--config"], flags["--max_minutes"]) == ("tiny", "0.5")
    lines = benchmark["stability_table"](
        {"vae": [{key: n for key in benchmark["STABILITY"]} for n in (3.0, 1.0, 2.0)]}
    )
    assert lines[2].startswith("| vae | 2 (1 to 3) |")


def test_compare_generators(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    flags = []
    for system in ("vae", "dcgan", "style_gan", "diffusion"):
        assert cli.main([system, "train", "--config", "tiny", "--runs_dir", system]) == 0
        (found,) = tmp_path.glob(f"{system}/*/run_*")
        flags += [f"--{system}", str(found)]
    output = run(tmp_path, "compare_generators.py", *flags, "--num_samples", "200")
    assert output.count("\n| ") == 5 and "floor" in output
