"""Episodes as films, and as something to look at while training goes on."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np

from triform.base.files import atomic_write
from triform.datasets.playing import Player, Policy
from triform.datasets.playing_settings import PlayConfig
from triform.images.animation import check_suffix, save_animation, thin_out

SAMPLE_STEPS, SAMPLE_RATE, SAMPLE_WIDTH = 200, 10, 200


def film(player: Player, policy: Policy, settings: PlayConfig) -> dict[str, Any]:
    """Play episodes and save them as one film.

    Of an environment that draws more pictures per second than asked for some are left out, so that
    the speed stays.

    Raises:
        UserError: Another suffix than `.gif` or `.mp4`, or the environment cannot be drawn.
    """
    check_suffix(settings.output)
    frames: list[np.ndarray] = []
    scores = []
    for number in range(settings.episodes):
        episode = player.record(policy, number, max_steps=settings.max_steps)
        stride, rate = thin_out(episode.frames, player.frame_rate(), settings.fps)
        kept = episode.frames[::stride]
        if (len(episode.frames) - 1) % stride:
            kept.append(episode.frames[-1])  # how it ended belongs to it
        frames += kept
        scores.append(episode.score)
    player.close()
    save_animation(frames, settings.output, rate, width=settings.width)
    return {
        "environment": player.game.name,
        "scores": scores,
        "frames": len(frames),
        "output": str(settings.output),
    }


def save_sample(player: Player, policy: Policy, folder: Path, step: int) -> Path:
    """One short episode: a GIF where the environment can be drawn, else a table of actions."""
    draws = player.draws()
    episode = player.record(policy, 0, pictures=draws, max_steps=SAMPLE_STEPS)
    name = folder / f"step_{step:07d}"
    if draws:
        stride, rate = thin_out(episode.frames, player.frame_rate(), SAMPLE_RATE)
        path = name.with_suffix(".gif")
        save_animation(episode.frames[::stride], path, rate, width=SAMPLE_WIDTH)
        return path
    path = name.with_suffix(".csv")
    with atomic_write(path, "w") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["step", "action"])
        writer.writerows(enumerate(episode.actions))
    return path
