"""The documented flags and defaults, and diffusion parameters by a file."""

import pytest
import yaml

from triform.base.errors import UsageError
from triform.base.settings.config import parse
from triform.engine.config import ShowConfig
from triform.systems.shap_e.config import Config
from triform.systems.shap_e.show_config import config as show


def test_documented_defaults():
    config = parse(Config, ["--data_dir", "path/to/dataset"])
    assert config.data.data_dir == "path/to/dataset"
    assert config.logging.runs_dir == "output"
    assert config.model.model_type == "text300M"
    assert (config.data.batch_size, config.training.epochs, config.training.lr) == (4, 10, 1e-5)
    assert config.device == "auto"


def test_documented_command():
    command = (
        "--data_dir path/to/dataset --output_dir output/image_model --model_type image300M "
        "--batch_size 4 --epochs 10 --lr 1e-5 --device cpu"
    )
    config = parse(Config, command.split())
    assert config.logging.runs_dir == "output/image_model"
    assert config.model.model_type == "image300M" and config.model.num_heads == 8


def test_standard_settings_are_printed_and_read_back(tmp_path, capsys):
    show(ShowConfig())
    text = capsys.readouterr().out
    assert yaml.safe_load(text)["diffusion"] == {
        "schedule": "exp",
        "timesteps": 1024,
        "coefficient": -12.0,
        "mean_type": "x_start",
        "cond_drop_prob": 0.1,
    }
    path = tmp_path / "mine.yaml"
    path.write_text(text.replace("timesteps: 1024", "timesteps: 512"))
    config = parse(Config, ["--config", str(path)])
    assert config.diffusion.timesteps == 512
    assert config == parse(Config, ["--diffusion.timesteps", "512"])


def test_the_original_diffusion_file_is_read(tmp_path):
    path = tmp_path / "diffusion_config.yaml"
    path.write_text("schedule: exp\nschedule_args: {coefficient: -9.0}\ntimesteps: 256\n")
    diffusion = parse(Config, ["--config", str(path)]).diffusion
    assert (diffusion.coefficient, diffusion.timesteps) == (-9.0, 256)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("diffusion: {steps: 4}", "steps"),
        ("diffusion: {timesteps: 1}", "timesteps"),
        ("schedule: spiral", "schedule"),
        ("transmitter: {encoder_width: 30, encoder_heads: 4}", "encoder_width"),
        ("transmitter: {view_size: 30}", "view_size"),
        ("transmitter: {direction_layer: 7}", "direction_layer"),
        ("model: {prior_width: 200}", "prior_width"),
    ],
)
def test_wrong_settings_are_one_line(tmp_path, text, named):
    path = tmp_path / "wrong.yaml"
    path.write_text(text)
    with pytest.raises(UsageError, match=named) as caught:
        parse(Config, ["--config", str(path)])
    assert "\n" not in str(caught.value)


def test_guidance_of_the_weights_or_of_their_kind():
    """Shap-E's own values where the settings do not say."""
    defaults = [
        parse(Config, ["--model_type", kind]).model.default_guidance
        for kind in ("text300M", "image300M")
    ]
    assert defaults == [15.0, 3.0]
    assert parse(Config, ["--guidance_scale", "2.5"]).model.default_guidance == 2.5
