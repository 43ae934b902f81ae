"""Rollouts, videos and scores."""

import numpy as np
import pytest
from PIL import Image

from triform.base.errors import UserError
from triform.tasks.agents.config import EvaluateConfig, PlayConfig
from triform.tasks.agents.rollout import (
    MAX_PARALLEL,
    EnvironmentSpec,
    EpisodeRunner,
    evaluate_policy,
    summarize,
)
from triform.tasks.agents.score_record import ScoreRecord
from triform.tasks.agents.video import record_video, save_sample


def lean(observations: np.ndarray) -> np.ndarray:
    return (observations[:, 2] + observations[:, 3] > 0).astype(np.int64)


def test_episodes_do_not_depend_on_how_many_are_played_at_once():
    runner = EpisodeRunner(EnvironmentSpec("CartPole-v1", 3))
    count = MAX_PARALLEL + 7
    together = [episode.score for episode in runner.run(lean, count)]
    alone = [runner.run(lean, 1, first=number)[0].score for number in range(count)]
    assert together == alone and len(set(together)) > 3
    assert [episode.score for episode in runner.run(lean, 4, first=3)] == together[3:7]
    recorded = runner.record(lean, 2, images=False)
    assert recorded.score == together[2] == recorded.length == len(recorded.actions)


def test_an_endless_environment_ends():
    environment = EnvironmentSpec("CartPole-v1", 0, max_episode_steps=0).make()
    assert environment.spec.max_episode_steps == 500
    environment = EnvironmentSpec("Blackjack-v1", 0).make()
    assert "TimeLimit" in str(environment)


def test_summary_is_the_textbook_one():
    class Fake:
        def __init__(self, score):
            self.score, self.length = score, 2

    numbers = summarize([Fake(s) for s in (1.0, 2.0, 6.0)])
    assert numbers["score"] == 3 and numbers["median"] == 2 and numbers["lowest"] == 1
    assert numbers["interval"] == pytest.approx(1.96 * np.std([1, 2, 6], ddof=1) / 3**0.5, abs=1e-4)
    assert summarize([Fake(4.0)])["interval"] == 0


def test_an_agent_of_another_environment_is_refused():
    with pytest.raises(UserError, match="2 inputs and 3 actions, but the agent was trained with 4"):
        EpisodeRunner(EnvironmentSpec("MountainCar-v0", 0), 4, 2)


def test_film_has_the_speed_and_the_end_of_the_episode(tmp_path):
    runner = EpisodeRunner(EnvironmentSpec("CartPole-v1", 0))
    length = runner.record(lean, 0, images=False).length
    report = record_video(runner, lean, PlayConfig(output=tmp_path / "a.gif", fps=25, width=120))
    with Image.open(tmp_path / "a.gif") as generated:
        assert generated.size == (120, 80) and generated.n_frames == report["frames"]
        assert generated.info["duration"] == 40  # 50 images per second, every second one
    assert report["scores"] == [length]
    assert report["frames"] == length // 2 + 1 + length % 2
    short = record_video(
        runner, lean, PlayConfig(output=tmp_path / "b.gif", episodes=2, max_steps=4)
    )
    assert short["frames"] == 6 and len(short["scores"]) == 2


def test_what_cannot_be_drawn_becomes_a_table(tmp_path, monkeypatch):
    runner = EpisodeRunner(EnvironmentSpec("CartPole-v1", 0))
    monkeypatch.setattr(runner, "can_render", lambda: False)
    path = save_sample(runner, lean, tmp_path, 5)
    lines = path.read_text().splitlines()
    assert path.name == "step_0000005.csv" and lines[0] == "step,action" and len(lines) > 10
    with pytest.raises(UserError, match="cannot be drawn"):
        record_video(runner, lean, PlayConfig(output=tmp_path / "a.gif"))


def test_scores_are_kept_and_written(tmp_path):
    record = ScoreRecord("CartPole-v1")
    assert record.recent() == {}
    for number in range(150):
        record.add(10 * number, float(number))
    assert record.add_evaluation(77.0) == pytest.approx(77 + 0.0077)
    assert record.recent() == {"score": pytest.approx(np.mean(range(50, 150)))}
    repeated = ScoreRecord("CartPole-v1")
    repeated.load_state_dict(record.state_dict())
    assert repeated.scores == record.scores and repeated.evaluations == [(150, 77.0)]
    repeated.write(tmp_path)
    assert (tmp_path / "scores.csv").read_text().splitlines()[1:3] == ["1,0,0.0", "2,10,1.0"]
    (tmp_path / "scores.png").unlink()
    repeated.write(tmp_path)  # a moment ago: not again
    assert not (tmp_path / "scores.png").exists()
    repeated.write(tmp_path, now=True)
    with Image.open(tmp_path / "scores.png") as chart:
        assert chart.size == (1200, 400)


def test_among_equal_scores_the_steadier_is_chosen():
    record = ScoreRecord("")
    scores = [*[100.0] * 5, 500.0, 480.0, *[500.0] * 12, 499.0, 500.0]
    selected = [record.add_evaluation(score) for score in scores]
    best = max(range(len(scores)), key=selected.__getitem__)
    assert scores[best] == 500 and best == 16  # ten of them, the last in a row
    assert max(selected[:5]) < min(selected[5:])


def test_chance_stands_beside_the_agent():
    settings = EvaluateConfig(environment="CartPole-v1", episodes=40, seed=3)
    report = evaluate_policy(EpisodeRunner(EnvironmentSpec("CartPole-v1", 3)), lean, settings)
    assert report["score"] > 300 > 40 > report["random_score"] > 15
    assert 0 < report["random_interval"] < 10
    repeated = evaluate_policy(EpisodeRunner(EnvironmentSpec("CartPole-v1", 3)), lean, settings)
    assert repeated == report
