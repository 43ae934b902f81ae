"""An index run that is killed at random moments leaves the same bytes as one that is not."""

import os
import random
import shutil
import signal
import time
from pathlib import Path

import pytest
from photo_folder import make_photos, scene

from triform.cli import main
from triform.search.gallery import open_gallery

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")

COUNT = 60


def start(arguments):
    """The command in a process of its own, which has what is imported here already."""
    child = os.fork()
    if child == 0:
        status = 70
        try:
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, 1)
            os.dup2(null, 2)
            status = main(arguments)
        finally:
            os._exit(status)
    return child


def finish(child):
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def kill_often(command, index, kills, duration, draw):
    """Kill the command so many times, at random moments of what it has left to do.

    Each run goes on where the last one was killed, so that together they take about as long as one
    that nobody disturbs. A run that ends before its kill does not count, and the next are killed
    sooner.
    """
    killed, longest = 0, 4 * duration / max(1, kills)
    while killed < kills:
        child = start(command)
        time.sleep(draw.uniform(0, min(longest, duration)))
        os.kill(child, signal.SIGKILL)
        if finish(child) == -signal.SIGKILL:
            killed += 1
        else:
            longest *= 0.7
        if index.exists():
            open_gallery(index).close()
    return killed


def check_kills(folder, weights, kills):
    """Index, change the collection, index again: undisturbed, and with kills."""
    flags = ["--checkpoint", str(weights), "--device", "cpu", "--batch_size", "4"]
    draw = random.Random(kills)

    def change(photos):
        for number in range(0, COUNT, 5):
            path = photos / ("beach", "city/night")[number % 2] / f"IMG_{number:03d}.png"
            path.rename(path.with_name(f"moved_{number}.png"))
        (photos / "beach/IMG_002.png").unlink()
        scene(999).save(photos / "beach/IMG_004.png")
        time_of_it = 1_700_000_000
        os.utime(photos / "beach/IMG_004.png", (time_of_it, time_of_it))

    results, num_killed, durations = [], 0, []
    for number_of_kills in (0, kills):
        photos = folder / "photos"  # the same names both times
        shutil.rmtree(photos, ignore_errors=True)
        make_photos(photos, COUNT)
        (photos / "bad.jpg").write_bytes(b"\xff\xd8\xff")
        os.utime(photos / "bad.jpg", (1_600_000_000, 1_600_000_000))
        index = folder / f"{number_of_kills}.gallery"
        command = ["clip", "index", str(photos), "--index_file", str(index), *flags]
        for round_number in range(2):
            started = time.monotonic()
            if number_of_kills == 0:
                assert finish(start(command)) == 0
                durations.append(time.monotonic() - started)
            num_killed += kill_often(
                command, index, (number_of_kills + 1) // 2, durations[round_number], draw
            )
            assert finish(start(command)) == 0
            if round_number == 0:
                change(photos)
        results.append(index.read_bytes())
        failed = index.with_suffix(".failed.csv").read_text()
        assert "bad.jpg" in failed and failed.count("\n") == 2
        left = {path.name for path in folder.iterdir()} - {"photos"}
        assert not [name for name in left if "journal" in name or name.endswith(".part")] or (
            number_of_kills
        )
    assert results[0] == results[1]
    return num_killed


def test_four_kills(tmp_path, weights):
    assert check_kills(tmp_path, weights, 4) == 4


@pytest.mark.slow
def test_twenty_kills(tmp_path, weights):
    assert check_kills(tmp_path, weights, 20) == 20


def test_ctrl_c_keeps_what_is_done(tmp_path, weights, monkeypatch, capsys):
    from triform.systems.clip.gallery import embed

    monkeypatch.chdir(tmp_path)
    make_photos(tmp_path / "photos", 12)
    real, calls = embed.embed_photos, []

    def interrupted(*arguments):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(*arguments)

    command = ["clip", "index", "photos", "--checkpoint", str(weights), "--batch_size", "4"]
    monkeypatch.setattr(embed, "embed_photos", interrupted)
    assert main(command) == 130
    assert "8 of 12 files are done; the same command goes on from there" in capsys.readouterr().err
    assert Path("photos.gallery.journal").exists()
    monkeypatch.setattr(embed, "embed_photos", real)
    assert main(command) == 0
    out, err = capsys.readouterr()
    assert "8 files are done already" in err and "embedded          4" in out
    assert not Path("photos.gallery.journal").exists()
