"""Episodes played by a finished policy: measured, or recorded as pictures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import gymnasium
import numpy as np

from triform.base.errors import UserError
from triform.base.seeding import hash_seed
from triform.datasets.environments import Observations, make_environment
from triform.datasets.playing_settings import EvaluateConfig
from triform.datasets.scores import ScoreRecord

Policy = Callable[[np.ndarray], np.ndarray]
"""Observations (N, size) float32 to actions (N,), numbered from 0."""

ENDLESS = 10_000
"""Steps after which an episode is ended where nothing else ends it."""
PARALLEL = 25


@dataclass(frozen=True)
class Game:
    """Which environment is played, and how its episodes are seeded.

    Episode number k of a seed always begins alike, however many are played at once.

    Attributes:
        name: Of the environment.
        seed: Seed of all episodes; apart from that of training.
        arguments: The environment's own settings as `name=value`.
        max_episode_steps: Time limit instead of the registered one; 0 keeps that.
        may_import: Whether a module in the name may be imported.
    """

    name: str
    seed: int
    arguments: Sequence[str] = ()
    max_episode_steps: int = 0
    may_import: bool = True

    @classmethod
    def chosen(cls, settings: Any, trained_in: Any) -> Game:
        """The game that flags ask for, or else the one of training.

        Args:
            settings: With `environment`, `environment_arguments` (None where not given),
                `max_episode_steps` and `seed`.
            trained_in: The settings of the data that an agent was trained with. They come from
                a file that somebody may have been given: no module that they name is imported.
        """
        # What belongs to the environment of training belongs to no other one.
        own = settings.environment in (None, trained_in.environment)
        arguments = settings.environment_arguments
        if arguments is None:
            arguments = trained_in.environment_arguments if own else ()
        return cls(
            settings.environment or trained_in.environment,
            settings.seed,
            arguments,
            settings.max_episode_steps or (trained_in.max_episode_steps if own else 0),
            may_import=settings.environment is not None,
        )

    def make(self, render_mode: str | None = None) -> gymnasium.Env[Any, Any]:
        """A new environment, with a time limit in any case."""
        limit = self.max_episode_steps
        environment = make_environment(
            self.name, arguments=self.arguments, max_episode_steps=limit,
            render_mode=render_mode, may_import=self.may_import,
        )  # fmt: skip
        if not limit and (environment.spec is None or environment.spec.max_episode_steps is None):
            environment = gymnasium.wrappers.TimeLimit(environment, ENDLESS)
        return environment

    def episode_seed(self, number: int) -> int:
        """Seed of an episode."""
        return hash_seed(self.seed, "play", number)


@dataclass
class Episode:
    """One episode: `score` is the sum of the environment's own rewards."""

    score: float = 0.0
    length: int = 0
    actions: list[int] = field(default_factory=list)
    frames: list[np.ndarray] = field(default_factory=list)


class Player:
    """Environments that episodes are played in, again and again.

    Args:
        game: What is played.
        num_inputs: Length of the rows that the policy reads; None asks for no check.
        num_actions: Actions that the policy knows; None asks for no check.

    Raises:
        UserError: The environment cannot be made, or does not fit the policy.
    """

    def __init__(self, game: Game, num_inputs: int | None = None, num_actions: int | None = None):
        self.game = game
        self.environments = [game.make()]
        first = self.environments[0]
        self.seen = Observations(first.observation_space, game.name)
        self.num_actions = int(first.action_space.n)  # type: ignore[attr-defined]
        self.first_action = int(first.action_space.start)  # type: ignore[attr-defined]
        given = (num_inputs or self.seen.size, num_actions or self.num_actions)
        if given != (self.seen.size, self.num_actions):
            raise UserError(
                f"--environment {game.name}: {self.seen.size} inputs and {self.num_actions} "
                f"actions, but the agent was trained with {given[0]} and {given[1]}"
            )

    def play(self, policy: Policy, count: int, first: int = 0) -> list[Episode]:
        """Play episodes number `first` to `first + count - 1`."""
        places = min(count, PARALLEL)
        while len(self.environments) < places:
            self.environments.append(self.game.make())
        episodes = [Episode() for _ in range(count)]
        rows = np.zeros((places, self.seen.size), self.seen.dtype)
        playing = list(range(places))  # place -> episode
        waiting = iter(range(places, count))
        for place in playing:
            self._begin(place, first + place, rows[place])
        active = list(range(places))
        while active:
            actions = policy(self.seen.inputs(rows[active])).tolist()
            still = []
            for place, action in zip(active, actions, strict=True):
                episode = episodes[playing[place]]
                raw, reward, end, cut, _ = self.environments[place].step(action + self.first_action)
                episode.score += float(reward)
                episode.length += 1
                self.seen.write(raw, rows[place])
                if end or cut:
                    following = next(waiting, None)
                    if following is None:
                        continue
                    playing[place] = following
                    self._begin(place, first + following, rows[place])
                still.append(place)
            active = still
        return episodes

    def _begin(self, place: int, number: int, row: np.ndarray) -> None:
        raw, _ = self.environments[place].reset(seed=self.game.episode_seed(number))
        self.seen.write(raw, row)

    def record(
        self, policy: Policy, number: int, *, pictures: bool = True, max_steps: int = 0
    ) -> Episode:
        """Play one episode and keep its actions and pictures.

        Args:
            policy: Who plays.
            number: Number of the episode.
            pictures: Whether to draw it.
            max_steps: Stop after so many steps; 0 = at its end.

        Raises:
            UserError: The environment cannot draw itself.
        """
        if pictures and not self.draws():
            raise UserError(f"--environment {self.game.name}: cannot be drawn (no rgb_array)")
        environment = self.game.make("rgb_array" if pictures else None)
        row = np.zeros((1, self.seen.size), self.seen.dtype)
        episode = Episode()
        try:
            raw, _ = environment.reset(seed=self.game.episode_seed(number))
            done = False
            while not done:
                if pictures:
                    episode.frames.append(_frame(environment, self.game.name))
                self.seen.write(raw, row[0])
                action = int(policy(self.seen.inputs(row))[0])
                raw, reward, end, cut, _ = environment.step(action + self.first_action)
                episode.actions.append(action)
                episode.score += float(reward)
                episode.length += 1
                done = end or cut or 0 < max_steps <= episode.length
            if pictures:
                episode.frames.append(_frame(environment, self.game.name))
        finally:
            environment.close()
        return episode

    def draws(self) -> bool:
        """Whether the environment can draw itself into an array."""
        return "rgb_array" in (self.environments[0].metadata.get("render_modes") or ())

    def frame_rate(self) -> float:
        """Pictures per second that the environment names."""
        return float(self.environments[0].metadata.get("render_fps") or 30)

    def close(self) -> None:
        """Close all environments."""
        for environment in self.environments:
            environment.close()


def measure(player: Player, policy: Policy, settings: EvaluateConfig) -> dict[str, Any]:
    """Play as many episodes as asked for, and say how they went, and how at random.

    Returns:
        What `summarize` says, and the same episodes' `random_score`, with its interval, when
        every action is drawn by chance.
    """
    episodes = player.play(policy, settings.episodes)
    chance = np.random.default_rng(hash_seed(settings.seed, "random agent"))
    by_chance = summarize(
        player.play(lambda rows: chance.integers(player.num_actions, size=len(rows)),
                    settings.episodes)
    )  # fmt: skip
    player.close()
    return {
        "environment": player.game.name, **summarize(episodes),
        "random_score": by_chance["score"], "random_interval": by_chance["interval"],
    }  # fmt: skip


class Evaluations:
    """The greedy episodes that training measures itself by, in environments of their own.

    Args:
        data: With `environment`, `environment_arguments`, `max_episode_steps` and
            `evaluation_episodes`.
        seed: Of the run; that of the episodes follows from it.
        record: Where scores are kept.
        index: Number of this process.
        count: Number of processes, which share the episodes.
    """

    def __init__(self, data: Any, seed: int, record: ScoreRecord, index: int, count: int):
        self.data, self.seed, self.record = data, seed, record
        self.index, self.count = index, count
        self._players: dict[str, Player] = {}

    def player(self, split: str) -> Player:
        """Environments for one kind of measurement, with seeds of their own."""
        if split not in self._players:
            game = Game(
                self.data.environment,
                hash_seed(self.seed, "evaluation", split),
                self.data.environment_arguments,
                self.data.max_episode_steps,
            )
            self._players[split] = Player(game)
        return self._players[split]

    def measure(self, policy: Policy, split: str) -> dict[str, float]:
        """Mean score of greedy episodes; for `val` other ones each time, to see more of them."""
        if split == "train":
            return {}
        share = -(-self.data.evaluation_episodes // self.count)
        turn = len(self.record.evaluations) if split == "val" else 0
        first = (turn * self.count + self.index) * share
        found = summarize(self.player(split).play(policy, share, first))
        numbers = {name: found[name] for name in ("score", "lowest", "steps_per_episode")}
        if split == "val":
            numbers["selection"] = self.record.add_evaluation(found["score"])
        return numbers


def summarize(episodes: Sequence[Episode]) -> dict[str, float]:
    """Scores of episodes in numbers; the interval is that of the mean, at 95 %."""
    scores = np.array([episode.score for episode in episodes], float)
    spread = float(scores.std(ddof=1)) if len(scores) > 1 else 0.0
    return {
        "episodes": len(scores),
        "score": round(float(scores.mean()), 4),
        "interval": round(1.96 * spread / len(scores) ** 0.5, 4),
        "median": float(np.median(scores)),
        "lowest": float(scores.min()),
        "highest": float(scores.max()),
        "steps_per_episode": round(float(np.mean([e.length for e in episodes])), 2),
    }


def _frame(environment: gymnasium.Env[Any, Any], name: str) -> np.ndarray:
    """A picture (H, W, 3) uint8 of the present moment."""
    try:
        frame = environment.render()
    except gymnasium.error.DependencyNotInstalled as error:
        raise UserError(f"--environment {name}: {' '.join(str(error).split())}") from error
    if not isinstance(frame, np.ndarray) or frame.ndim != 3:
        raise UserError(f"--environment {name}: draws no picture (H, W, 3)")
    return np.ascontiguousarray(frame[..., :3], dtype=np.uint8)
