"""Records episodes as videos, and as samples during training."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np

from triform.base.files import atomic_write
from triform.images.animation import check_suffix, frame_stride, save_animation
from triform.tasks.agents.config import PlayConfig
from triform.tasks.agents.rollout import EpisodeRunner, Policy

SAMPLE_STEPS, SAMPLE_FPS, SAMPLE_WIDTH = 200, 10, 200


def record_video(runner: EpisodeRunner, policy: Policy, settings: PlayConfig) -> dict[str, Any]:
    """Play episodes and save them as one video.

    Frames are dropped where the environment renders more per second than the video has, so that
    it plays at the environment's speed.

    Raises:
        UserError: Another suffix than `.gif` or `.mp4`, or the environment cannot be rendered.
    """
    check_suffix(settings.output)
    frames: list[np.ndarray] = []
    scores = []
    for index in range(settings.episodes):
        episode = runner.record(policy, index, max_steps=settings.max_steps)
        stride, fps = frame_stride(episode.frames, runner.frame_rate(), settings.fps)
        frames += episode.frames[::stride]
        if (len(episode.frames) - 1) % stride:
            frames.append(episode.frames[-1])  # the end of the episode is always shown
        scores.append(episode.score)
    runner.close()
    save_animation(frames, settings.output, fps, width=settings.width)
    return {
        "environment": runner.spec.name,
        "scores": scores,
        "frames": len(frames),
        "output": str(settings.output),
    }


def save_sample(runner: EpisodeRunner, policy: Policy, folder: Path, step: int) -> Path:
    """Save one short episode: a GIF, or a table of actions where nothing can be rendered."""
    can_render = runner.can_render()
    episode = runner.record(policy, 0, images=can_render, max_steps=SAMPLE_STEPS)
    path = folder / f"step_{step:07d}{'.gif' if can_render else '.csv'}"
    if can_render:
        stride, fps = frame_stride(episode.frames, runner.frame_rate(), SAMPLE_FPS)
        save_animation(episode.frames[::stride], path, fps, width=SAMPLE_WIDTH)
        return path
    with atomic_write(path, "w") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["step", "action"])
        writer.writerows(enumerate(episode.actions))
    return path
