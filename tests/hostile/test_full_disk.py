"""A disk that takes no more, or too little memory: one line that names the file, nothing half done.

A limit on the size of files stands for the full disk: the system refuses in the same way.
"""

import errno
import os
import resource
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from triform import cli
from triform.base.files import atomic_write
from triform.engine.checkpoints import checkpoint

BYTES = 4096


@pytest.fixture
def full_disk() -> Iterator[None]:
    """No file grows beyond 4096 bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (BYTES, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (("dcgan", "generate", "--num_samples", "64", "--output", "new.png"), "new.png"),
        (("voxel_gan", "generate", "--checkpoint", "model.pth", "--output", "new.obj"), "new.obj"),
        (("voxel_gan", "generate", "--checkpoint", "model.pth", "--output", "new.glb"), "new.glb"),
        (("runs", "export", "run_1", "--output", "new.safetensors"), "new.safetensors"),
    ],
)
def test_generate_and_export(
    refused: Callable[..., str],
    model: Path,
    words: tuple[str, ...],
    name: str,
    request: pytest.FixtureRequest,
) -> None:
    run = model.parent / "runs" / "voxel_gan" / "run_1"
    (run / "checkpoints").mkdir(parents=True)
    (run / "config.yaml").write_text("seed: 3\n")
    (run / "checkpoints" / "best.pth").write_bytes(model.read_bytes())
    request.getfixturevalue("full_disk")
    assert refused(*words, status=1, names=name) == f"triform: {name}: file too large\n"


def test_checkpoints(place: Path, trained: dict[str, object], full_disk: None) -> None:
    with pytest.raises(OSError, match="File too large") as caught:
        checkpoint.save(place / "new.pth", trained)
    assert caught.value.filename == str(place / "new.pth")
    assert sorted(path.name for path in place.iterdir()) == ["kept.obj"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
def test_the_file_is_named(place: Path, number: int) -> None:
    """Whatever a library makes of the error on its way up."""
    with pytest.raises(OSError, match=os.strerror(number)) as caught, atomic_write("new") as file:
        file.write(b"x")
        try:
            raise OSError(number, os.strerror(number))
        except OSError as error:
            raise RuntimeError("PytorchStreamWriter failed") from error
    assert caught.value.filename == "new" and caught.value.errno == number
    assert not (place / "new").exists()


def test_other_errors_stay_as_they_are(place: Path) -> None:
    error = OSError(errno.ENOENT, "no such file", "elsewhere")
    with pytest.raises(OSError, match="elsewhere") as caught, atomic_write("new"):
        raise error
    assert caught.value is error


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "no space left on device"),
        (OSError(errno.EMFILE, "Too many open files"), "too many open files"),
        (OSError(errno.EACCES, "Permission denied", "a/b"), "a/b: permission denied"),
        (MemoryError(), "not enough memory for this; lower what costs it"),
        (
            RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"),
            "not enough memory for this; lower what costs it",
        ),
        (RuntimeError("CUDA out of memory. Tried"), "not enough memory for this; lower what costs"),
    ],
)
def test_what_the_machine_refuses_is_no_crash(
    place: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: Exception,
    said: str,
) -> None:
    def fail(_: object) -> int:
        raise error

    monkeypatch.setattr(cli, "run", fail)
    assert cli.main(["x"]) == 1
    assert capsys.readouterr().err.startswith(f"triform: {said}")


def test_a_mistake_of_the_program_is_still_a_crash(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(_: object) -> int:
        raise RuntimeError("shapes do not match")

    monkeypatch.setenv("TMPDIR", str(place))
    monkeypatch.setattr(cli, "run", fail)
    assert cli.main(["x"]) == 1
    assert "full traceback" in capsys.readouterr().err
