"""Weights of a captioner for another vocabulary."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from captioned_folder import TINY, flags_of, write_flickr

from triform.base.errors import UserError
from triform.base.settings.config import parse
from triform.engine.checkpoints.checkpoint import Weights, load_weights
from triform.engine.fit import fit
from triform.systems.captioner.config import Config
from triform.systems.captioner.initial_weights import WORD_TENSORS, for_vocabulary
from triform.systems.captioner.system import System
from triform.text.vocabulary import SPECIAL_TOKENS


def tensors(num_words: int, value: float) -> dict[str, torch.Tensor]:
    """Word k has the number value + k everywhere."""
    rows = value + torch.arange(num_words, dtype=torch.float32)
    return {
        "embedding.weight": rows[:, None].expand(-1, 2),
        "output_proj.weight": rows[:, None].expand(-1, 3),
        "output_proj.bias": rows,
    }


def test_words_keep_their_rows() -> None:
    """Known words by hand: b is row 5 there and 6 here, c row 6 there and 4 here; x is new."""
    special = list(SPECIAL_TOKENS)
    metadata = {"vocabulary": {"words": [*special, "a", "b", "c"]}}
    weights = Weights({"captioner": tensors(7, 10)}, {}, "captioner", metadata)
    words = [*special, "c", "x", "b"]
    found = for_vocabulary(weights, words, tensors(7, 100), Path("w"))
    assert found["output_proj.bias"].tolist() == [10, 11, 12, 13, 16, 105, 15]
    assert found["embedding.weight"][4:].tolist() == [[16, 16], [105, 105], [15, 15]]
    assert found["output_proj.weight"][4:].tolist() == [[16] * 3, [105] * 3, [15] * 3]
    assert weights.networks["captioner"]["output_proj.bias"].tolist() == list(range(10, 17))


@pytest.mark.parametrize(
    ("metadata", "reason"),
    [
        ({}, "has no vocabulary"),
        ({"vocabulary": "words"}, "has no vocabulary"),
        ({"vocabulary": {"words": [["a"]]}}, "has no vocabulary"),
        ({"vocabulary": {"words": list(SPECIAL_TOKENS)}}, "another size than its tensors"),
    ],
)
def test_weights_without_a_vocabulary_are_refused_in_one_line(metadata: dict, reason: str) -> None:
    weights = Weights({"captioner": tensors(7, 0)}, {}, "captioner", metadata)
    with pytest.raises(UserError, match=reason) as raised:
        for_vocabulary(weights, ["c"], tensors(1, 0), Path("w"))
    assert "\n" not in str(raised.value)


def test_own_captions_are_learned_from_a_trained_captioner(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    small = flags_of(**TINY, encoder="small", image_size=32, epochs=1, sample_every=0)
    flags = [*write_flickr(tmp_path), *small, "--no_bleu"]
    first = fit(System(parse(Config, flags)))
    Path("captions.csv").write_text(Path("captions.csv").read_text().replace("sheet", "page"))
    Path("vocab.pkl").unlink()
    system = System(parse(Config, [*flags, "--initial_weights", str(first.run_dir)]))
    assert "page" in system.vocabulary.word_to_idx
    new = {name: value.clone() for name, value in system.captioner.state_dict().items()}
    system.load_initial_weights()
    begun, trained = system.captioner.state_dict(), load_weights(first.weights)
    words = trained.metadata["vocabulary"]["words"]
    for name, tensor in trained.networks["captioner"].items():
        if name not in WORD_TENSORS:
            assert torch.equal(begun[name], tensor), name
            continue
        for word, row in system.vocabulary.word_to_idx.items():
            expected = tensor[words.index(word)] if word in words else new[name][row]
            assert torch.equal(begun[name][row], expected), (name, word)
