"""How good captions of unseen pictures are, beside captions without learning."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from tqdm import tqdm

from triform.base.errors import UsageError
from triform.base.files import atomic_write
from triform.datasets.captioned.baselines import NEAR_COPY, baseline_captions, nearest_pictures
from triform.datasets.captioned.scoring import scores
from triform.datasets.captioned.table import CaptionTable
from triform.metrics.bleu import bleu
from triform.metrics.cider import cider_d
from triform.metrics.intervals import share_interval
from triform.metrics.rouge import rouge_l
from triform.systems.captioner.config import Config, EvaluateConfig
from triform.systems.captioner.data import load_table
from triform.systems.captioner.trained import chosen
from triform.text.vocabulary import words_of


def evaluate(settings: EvaluateConfig) -> dict[str, Any]:
    """Measure captions made without help on one part of the data.

    Returns:
        `rows`, one for the captioner and one for each baseline: BLEU-1 to 4 in [0, 100] (corpus,
        all references), ROUGE-L, CIDEr-D, METEOR where nltk has its data, and what the set itself
        can tell, with 95 % intervals (Wilson), also without near copies; `near_copies`, how many
        pictures look like one of the training; `signature` says how BLEU was computed.

    Raises:
        UsageError: No such part, or no such data.
        UserError: No such captioner, or the data cannot be used.
    """
    trained = chosen(settings)
    table = load_table(_with_data(trained.config, settings))
    split = settings.split or ("test" if len(table.splits.get("test", ())) else "val")
    rows = table.rows(split)
    captions = []
    for start in tqdm(range(0, len(rows), settings.batch_size), "captioning", disable=None):
        part = rows[start : start + settings.batch_size]
        pictures = [table.pictures.picture(int(row)) for row in part]
        captions += [trained.text(said) for said in trained.say(pictures, settings)]
    by = {"captioner": captions}
    beside: dict[str, int] = {}
    new = np.full(len(rows), True)
    if settings.baselines and split != "train":
        by |= baseline_captions(table, table.rows("train"), rows)
        _, similar = nearest_pictures(table, table.rows("train"), rows)
        new = similar < NEAR_COPY
        beside["near_copies"] = int((~new).sum())
    measured, signature = [], None
    for name, said in by.items():
        numbers, signature = _measure(table, rows, said)
        measured.append({"by": name, **numbers})
        if table.contents and 0 < new.sum() < len(rows):
            some = [text for text, one in zip(said, new, strict=True) if one]
            shares = _shares(table, rows[new], some)
            measured[-1] |= {f"{key}_without_copies": value for key, value in shares.items()}
    if settings.output is not None:
        _write(settings, table, rows, captions)
    return {
        "checkpoint": str(trained.source), "data": table.name, "split": split,
        "pictures": len(rows), "decoding": settings.decoding, "signature": signature,
        **beside, "rows": measured,
    }  # fmt: skip


def _with_data(config: Config, settings: EvaluateConfig) -> Config:
    given = {
        name: value
        for name in ("dataset", "images_dir", "caption_file", "download_path")
        if (value := getattr(settings, name))
    }
    if settings.images_dir or settings.caption_file:
        if settings.dataset not in ("", "csv"):
            raise UsageError("--dataset: images_dir and caption_file belong to csv")
        given["dataset"] = "csv"
    return config.model_copy(update={"data": config.data.model_copy(update=given)})


def _measure(
    table: CaptionTable, rows: np.ndarray, captions: Sequence[str]
) -> tuple[dict[str, Any], str | None]:
    said = [" ".join(words_of(caption)) for caption in captions]
    references = [[" ".join(words_of(text)) for text in table.captions[row]] for row in rows]
    by_bleu = bleu(said, references)
    signature = by_bleu.pop("signature", None)
    numbers: dict[str, Any] = {
        **{name: round(value, 2) for name, value in by_bleu.items()},
        "rouge_l": round(rouge_l(said, references), 4),
        "cider_d": round(cider_d(said, references), 4),
        **_meteor(said, references),
        **_shares(table, rows, captions),
    }
    return numbers, signature


def _shares(table: CaptionTable, rows: np.ndarray, captions: Sequence[str]) -> dict[str, Any]:
    """What the set itself can tell, each share with its 95 % interval (Wilson)."""
    numbers: dict[str, Any] = {}
    for name, share in scores(table, rows, captions).items():
        total = len(rows)
        if name == "head_noun_met":  # of those alone whose noun any training caption has
            learned = {table.contents[row] for row in table.rows("train")}
            total = sum(table.contents[row] in learned for row in rows)
        numbers[name] = round(share, 4)
        ends = share_interval(round(share * total), total)
        numbers[f"{name}_interval"] = [round(end, 4) for end in ends]
    return numbers


def _meteor(said: Sequence[str], references: Sequence[Sequence[str]]) -> dict[str, float]:
    """METEOR by nltk, where it and its WordNet are installed."""
    try:
        from nltk.translate.meteor_score import meteor_score

        pairs = zip(said, references, strict=True)
        values = [meteor_score([one.split() for one in own], text.split()) for text, own in pairs]
    except (ImportError, LookupError):
        return {}
    return {"meteor": round(float(np.mean(values)), 4)}


def _write(
    settings: EvaluateConfig, table: CaptionTable, rows: np.ndarray, captions: Sequence[str]
) -> None:
    assert settings.output is not None
    settings.output.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(settings.output, "w") as stream:
        for row, text in zip(rows, captions, strict=True):
            line = {
                "picture": table.pictures.name(int(row)), "caption": text,
                "references": table.captions[row],
            }  # fmt: skip
            stream.write(json.dumps(line, ensure_ascii=False) + "\n")
