import io
import time
from pathlib import Path

import pytest
from PIL import Image

from triform.web.config import LimitsConfig
from triform.web.jobs import JobService
from triform.web.results import ResultStore

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
