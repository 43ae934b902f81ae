"""The verb `encode`: latents of the objects of a shape library, resumable, in batches."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import torch

from triform.base.errors import UserError
from triform.base.logging import get_logger
from triform.base.progress import progress_bar
from triform.base.seeding import generator
from triform.datasets.library.layout import LibraryObject
from triform.datasets.library.library import Library
from triform.engine.device import pick_device
from triform.engine.out_of_memory import is_out_of_memory
from triform.pretrained.fingerprint import state_fingerprint
from triform.systems.shap_e.config import DataConfig, TransmitterConfig
from triform.systems.shap_e.data import latents_folder, open_library
from triform.systems.shap_e.encoder_inputs import join_views, read_points, read_views, select_rows
from triform.systems.shap_e.latent_files import (
    INDEX,
    latent_path,
    read_index,
    write_index,
    write_latent,
)
from triform.systems.shap_e.trained import Trained, load_transmitter
from triform.systems.shap_e.transmitter.transmitter import Transmitter, saturation
from triform.systems.shap_e.transmitter.views import Views
from triform.systems.shap_e.verb_config import EncodeConfig

logger = get_logger(__name__)


def encode(settings: EncodeConfig) -> dict[str, Any]:
    """Encode the objects of a library.

    Returns:
        Counts, the folder, seconds per object, and the share of saturated numbers.

    Raises:
        UserError: No encoder, latents of another one are there, or nothing can be encoded.
    """
    device = pick_device(settings.device)
    transmitter = load_transmitter(settings.transmitter or default_run()).to(device)
    if transmitter.encoder is None:
        raise UserError(
            f"--transmitter {settings.transmitter}: holds a decoder alone; encoding needs that of "
            "transmitter.pt"
        )
    data = DataConfig(
        data_dir=settings.library,
        download_path=settings.download_path,
        max_samples=settings.max_samples,
    )
    library = open_library(data)
    folder = settings.output or latents_folder(library, DataConfig())
    index = describe(transmitter, settings)
    there = read_index(folder)
    if there and there != index:
        different = next(name for name in index if there.get(name) != index[name])
        raise UserError(
            f"{folder}: holds latents of another {different} ({there.get(different)}, here "
            f"{index[different]}); name another --output, or remove the folder"
        )
    entries = library.objects[: settings.max_samples or None]
    todo = [entry for entry in entries if latent_path(folder, entry.object_id) is None]
    folder.mkdir(parents=True, exist_ok=True)
    write_index(folder, index)
    failed: dict[str, str] = {}
    shares: list[float] = []
    started = time.perf_counter()
    with progress_bar(desc="latents", total=len(todo), unit="object") as bar:
        for start in range(0, len(todo), settings.batch_size):
            part = todo[start : start + settings.batch_size]
            shares += encode_batch(library, transmitter, part, folder, settings, failed)
            bar.update(len(part))
    for object_id, reason in list(failed.items())[:5]:
        logger.warning("%s: not encoded: %s", object_id, reason)
    if failed and len(failed) == len(todo):
        raise UserError(f"{library.root}: nothing was encoded: {next(iter(failed.values()))}")
    encoded = len(todo) - len(failed)
    return {
        "latents": str(folder),
        "objects": len(entries),
        "encoded": encoded,
        "there already": len(entries) - len(todo),
        "failed": len(failed),
        "seconds per object": round((time.perf_counter() - started) / max(1, encoded), 4),
        "saturated": round(sum(shares) / len(shares), 5) if shares else None,
    }


def encode_batch(
    library: Library,
    transmitter: Transmitter,
    entries: list[LibraryObject],
    folder: Path,
    settings: EncodeConfig,
    failed: dict[str, str],
) -> list[float]:
    """Encode some objects and write their latents; returns their shares of saturated numbers.

    Objects whose files cannot be read are added to `failed`.
    """
    config, device = transmitter.config, next(transmitter.parameters()).device
    points, views, readable = [], [], []
    for entry in entries:
        try:
            rows = read_points(library, entry)
            object_views = needed_views(library, entry, config)
        except UserError as error:
            failed[entry.object_id] = str(error)
            continue
        points.append(torch.from_numpy(select_rows(rows, count_of(config, len(rows)), None)))
        views += [object_views] if object_views is not None else []
        readable.append(entry)
    if not readable:
        return []
    count = min(map(len, points))
    stacked = torch.stack([rows[:count] for rows in points]).to(device)
    joined = join_views(views).to(device) if views else None
    generators = [generator("encode", settings.seed, entry.object_id) for entry in readable]
    try:
        with torch.no_grad():
            latents = transmitter.encode(stacked, joined, generators)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise UserError(
            f"out of memory on {device}: try --batch_size {max(1, settings.batch_size // 2)} "
            f"(it is {settings.batch_size}); latents that are written are kept"
        ) from error
    for entry, latent in zip(readable, latents, strict=True):
        write_latent(folder / f"{entry.object_id}.npy", latent, settings.number_format)
    return [float(saturation(latent)) for latent in latents]


def count_of(config: TransmitterConfig, available: int) -> int:
    """Points of an object that the encoder gets: all, and repeated where there are too few."""
    return max(available, config.inner_points, config.data_tokens)


def needed_views(library: Library, entry: LibraryObject, config: TransmitterConfig) -> Views | None:
    """Views of an object if the encoder attends to views.

    Raises:
        UserError: It lacks images, depths or cameras.
    """
    if config.encoder_input == "points":
        return None
    return read_views(library, entry, config)


def describe(transmitter: Transmitter, settings: EncodeConfig) -> dict[str, Any]:
    """What makes the latents, for their folder."""
    config = transmitter.config
    return {
        "encoder": state_fingerprint(transmitter.state_dict()),
        "shape": [config.latent_vectors, config.latent_width],
        "number_format": settings.number_format,
        "seed": settings.seed,
        "written_by": f"triform shap_e encode, {INDEX}",
    }


def default_run() -> str:
    """The newest run here.

    Raises:
        UserError: There is none.
    """
    return str(Trained.find(None))
