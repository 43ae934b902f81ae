import csv
from pathlib import Path

import numpy as np

from triform.systems.voxel_gan.analysis import analyze, cosine_similarities, principal_components
from triform.systems.voxel_gan.config import ANALYZED_TEXTS, AnalyzeConfig


def test_cosines() -> None:
    vectors = np.array([[2.0, 0], [0, 3], [1, 1], [0, 0]])
    half = np.sqrt(0.5)
    expected = [[1, 0, half, 0], [0, 1, half, 0], [half, half, 1, 0], [0, 0, 0, 0]]
    np.testing.assert_allclose(cosine_similarities(vectors), expected, atol=1e-12)


def test_principal_components_keep_distances_of_a_plane() -> None:
    random = np.random.default_rng(0)
    plane = random.normal(size=(7, 2)) * [3, 1]
    rotation, _ = np.linalg.qr(random.normal(size=(9, 9)))
    coordinates, share = principal_components(plane @ rotation[:2] + 5)
    np.testing.assert_allclose(share.sum(), 1)

    def distances(points: np.ndarray) -> np.ndarray:
        return np.linalg.norm(points[:, None] - points[None], axis=2)

    np.testing.assert_allclose(distances(coordinates), distances(plane), atol=1e-9)
    assert (coordinates.var(0)[0] >= coordinates.var(0)[1]) and share[0] >= share[1]


def test_two_equal_texts_are_no_trouble() -> None:
    coordinates, share = principal_components(np.ones((2, 5)))
    assert np.isfinite(coordinates).all() and np.isfinite(share).all()


def test_documented_texts_by_default_and_files_without_a_display(tmp_path: Path) -> None:
    report = analyze(AnalyzeConfig(output=tmp_path))
    table = {row["text"]: row for row in report["similarities"]}
    assert tuple(table) == ANALYZED_TEXTS
    chair = table["3d model of chair"]
    assert chair["3d model of chair"] == 1
    assert chair["3d model of table"] > chair["3d model of airplane"]
    with (tmp_path / "similarities.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    # the answer has four digits
    assert abs(float(rows[0]["3d model of table"]) - chair["3d model of table"]) <= 5e-5
    assert len((tmp_path / "pca.csv").read_text().splitlines()) == 6
    assert (tmp_path / "analysis.png").read_bytes().startswith(b"\x89PNG")


def test_a_file_of_texts_takes_the_place_of_the_default_ones(tmp_path: Path) -> None:
    path = tmp_path / "texts.txt"
    path.write_text("a lamp\na bed\n")
    report = analyze(AnalyzeConfig(text_file=path, output=tmp_path / "out"))
    assert [row["text"] for row in report["similarities"]] == ["a lamp", "a bed"]


def test_texts_are_no_formulas(tmp_path: Path) -> None:
    texts = (r"a lamp for $5 \or {less$", "$x^2$")
    report = analyze(AnalyzeConfig(text=texts, output=tmp_path))
    assert [row["text"] for row in report["similarities"]] == list(texts)
    assert (tmp_path / "analysis.png").read_bytes().startswith(b"\x89PNG")
