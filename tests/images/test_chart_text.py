"""Texts in charts are drawn literally."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from triform.images.chart_text import disable_math_text
from triform.images.latent_map import save_latent_map
from triform.tasks.agents.score_chart import draw_scores

BROKEN = r"$\frac{$ costs $5 and \undefined$"


def test_every_text_of_a_figure(tmp_path: Path) -> None:
    figure = Figure(layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], label=BROKEN)
    axes.legend(title=BROKEN)
    axes.set_title(BROKEN)
    axes.set_xlabel(BROKEN)
    axes.set_xticks([0, 1], [BROKEN, "$x^2$"], rotation=40)
    axes.annotate(BROKEN, (0, 0))
    figure.suptitle(BROKEN)
    disable_math_text(figure)
    figure.savefig(tmp_path / "a.png")
    texts = [text for text in figure.findobj(Text) if "$" in text.get_text()]
    assert len(texts) == 10 and not any(text.get_parse_math() for text in texts)


def test_names_of_classes_and_games(tmp_path: Path) -> None:
    latents = np.random.default_rng(0).normal(size=(20, 3))
    save_latent_map(latents, np.arange(20) % 2, [BROKEN, "$x$"], tmp_path / "map.png")
    draw_scores([1.0, 2.0], tmp_path / "scores.png", title=BROKEN)
    assert (tmp_path / "map.png").stat().st_size > 1000
    assert (tmp_path / "scores.png").stat().st_size > 1000


def test_the_figure_alone_would_fail(tmp_path: Path) -> None:
    figure = Figure()
    figure.suptitle(BROKEN)
    with pytest.raises(ValueError, match=r"Expected .frac"):
        figure.savefig(tmp_path / "a.png")
