"""A training that begins with weights: what the page offers, what is refused, and a real one."""

import importlib
import time

import pytest

from triform import systems
from triform.base.errors import UserError
from triform.engine.checkpoints.initial_weights import find_initial_weights
from triform.web.config import LimitsConfig, ServeConfig
from triform.web.initial_weights import fitting_presets, shipped_name
from triform.web.service import Service

WEIGHTS = "training.initial_weights"
TINY = {"training.max_steps": 2, "logging.sample_every": 0}
STILL = {"training.lr": 1e-9, "training.value_lr": 1e-9, "seed": 7}
"""Settings of a training that changes next to nothing, and would begin elsewhere by itself."""


@pytest.fixture
def make_real(tmp_path):
    """A service whose worker trains."""
    services = []

    def make():
        config = ServeConfig(
            results=tmp_path / "results",
            runs_dir=tmp_path / "runs",
            download_path=tmp_path / "data",
            warm_up=False,
            limits=LimitsConfig(min_free_gb=0),
        )
        services.append(Service(config))
        return services[-1]

    yield make
    for service in services:
        service.close()


@pytest.mark.parametrize("name", systems.names())
def test_what_is_offered_is_what_the_training_finds(name):
    system = importlib.import_module(f"triform.systems.{name}.system").System
    if shipped_name(name):
        found = find_initial_weights("shipped", name, system.shipped)
        assert found.stem == shipped_name(name)
        assert fitting_presets(name, "shipped", None)  # one click fills in what they need
    else:
        with pytest.raises(UserError, match="ship"):
            find_initial_weights("shipped", name, system.shipped)


def test_presets_that_fit_come_in_the_order_of_their_distance():
    assert fitting_presets("vae", "shipped", None) == ["fashion"]
    assert fitting_presets("cycle_gan", "shipped", None) == ["", "fashion", "drawings"]
    assert fitting_presets("shap_e", "shipped", None) == ["furniture"]  # an older file


def test_the_form_offers_them(client, tmp_path):
    run = tmp_path / "runs" / "vae" / "run_1"
    (run / "checkpoints").mkdir(parents=True)
    (run / "config.yaml").write_text("model:\n  latent_dim: 4\n  width: 8\n")
    for name, choices in (("vae", ["shipped"]), ("reinforce", [])):
        rows = client.get(f"/api/forms/{name}/train?language=ru").json()
        field = next(each for each in rows if each["name"] == WEIGHTS)
        assert (field["kind"], field["choices"]) == ("initial_weights", choices)
        assert field["label"] == "Начальные веса"
    assert [each["has_weights"] for each in client.get("/api/runs").json()] == [False]
    (run / "checkpoints" / "best.pth").touch()
    assert [each["has_weights"] for each in client.get("/api/runs").json()] == [True]
    address = "/api/presets/vae/fitting?weights="
    assert client.get(f"{address}run:vae/run_1").json() == ["tiny"]
    assert client.get(f"{address}shipped").json() == ["fashion"]
    for wrong in ("run:vae/../../etc", "/etc/passwd", "run:vae/run_2"):
        assert client.get(f"{address}{wrong}").status_code == 404


def test_a_training_with_the_weights_of_another_run(make_real, tmp_path):
    service = make_real()

    def train(**values):
        record = service.submit("reinforce", "train", {**TINY, **values}, preset="tiny")
        end = time.monotonic() + 300
        while not service.store.get(record.id).is_ended:
            assert time.monotonic() < end
            time.sleep(0.1)
        return service.store.get(record.id)

    first = train()
    assert first.state == "done", first.error
    second = train(**{WEIGHTS: f"run:{first.run}", **STILL})
    assert second.state == "done", second.error
    assert f"--initial_weights {tmp_path / 'runs' / first.run}" in second.command
    assert _weights(tmp_path / "runs" / second.run) == pytest.approx(
        _weights(tmp_path / "runs" / first.run), abs=1e-5
    )
    wider = train(**{WEIGHTS: f"run:{first.run}", "model.hidden_size": 7})
    assert wider.state == "failed" and "--hidden_size 16" in wider.error
    assert str(tmp_path) not in wider.error


def _weights(run):
    """All numbers of the best weights of a run."""
    from triform.engine.checkpoints.checkpoint import load_weights

    path = next(run.glob("checkpoints/best*"))
    networks = load_weights(path).networks.values()
    tensors = [tensor for network in networks for tensor in network.values()]
    return [float(number) for tensor in tensors for number in tensor.flatten()]
