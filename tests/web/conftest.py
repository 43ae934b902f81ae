import io
import sys
import time
from pathlib import Path

import pytest
from PIL import Image
from starlette.testclient import TestClient

from triform.web.app import create_app
from triform.web.config import LimitsConfig, ServeConfig
from triform.web.jobs import JobService
from triform.web.results import ResultStore
from triform.web.service import Service as WebService

sys.path.insert(0, str(Path(__file__).parent))
from browser_page import browser, page, server  # noqa: F401  fixtures of the browser tests

PROGRAM = (str(Path(__file__).with_name("trial_worker.py")),)


class Service(JobService):
    """A job service whose worker needs no model."""

    def do(self, what, user="someone", units=1, training=False, **values):
        record = self.store.create(system="trial", verb=what, units=units)
        message = {"do": what, "folder": str(self.store.root / record.id), **values}
        return self.submit(message, record, user, training=training).id

    def until(self, name, condition, seconds=20):
        """Wait until the status of a job fulfils a condition; returns it."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            status = self.status(name)
            if condition(status):
                return status
            time.sleep(0.01)
        raise AssertionError(f"{name}: {self.status(name)}, {self.store.get(name)}")


@pytest.fixture
def make_service(tmp_path):
    services = []

    def make(**limits):
        store = ResultStore(tmp_path / "results")
        services.append(Service(store, LimitsConfig(min_free_gb=0, **limits), PROGRAM))
        return services[-1]

    yield make
    for service in services:
        service.close()
        service.store.close()


@pytest.fixture
def service(make_service):
    return make_service()


@pytest.fixture
def png():
    stream = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(stream, "PNG")
    return stream.getvalue()


@pytest.fixture
def obj():
    return b"v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n"


@pytest.fixture
def make_client(tmp_path):
    """A client of the application whose worker needs no model."""
    services = []

    def make(users=None, host="127.0.0.1", **limits):
        config = ServeConfig(
            host=host,
            results=tmp_path / "results",
            runs_dir=tmp_path / "runs",
            download_path=tmp_path / "data",
            warm_up=False,
            limits=LimitsConfig(min_free_gb=0, **limits),
        )
        services.append(WebService(config, (str(Path(__file__).with_name("page_worker.py")),)))
        app = create_app(services[-1], users or {})
        client = TestClient(app, base_url="http://127.0.0.1", raise_server_exceptions=False)
        client.service = services[-1]
        return client

    yield make
    for service in services:
        service.close()


@pytest.fixture
def client(make_client):
    return make_client()
