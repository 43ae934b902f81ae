from dataclasses import replace

import numpy as np
import torch

from triform.pretrained.text_encoder import load_text_encoder
from triform.systems.voxel_gan.data import (
    VoxelBatches,
    VoxelDataset,
    load_voxel_dataset,
    stretch,
)

from .conftest import preset


def batches(objects: VoxelDataset, **changes: object) -> VoxelBatches:
    settings: dict[str, object] = {"cond_dim": 384, "mirror": True, "prompt_dropout": 0.5}
    encoder = load_text_encoder("minilm")
    return VoxelBatches(objects, objects.rows("train"), encoder, **(settings | changes))  # type: ignore[arg-type]


def test_a_batch_depends_on_its_generator_alone(tiny_dataset: VoxelDataset) -> None:
    fetch = batches(tiny_dataset)
    torch.manual_seed(0)
    first = fetch([0, 3, 5], torch.Generator().manual_seed(1))
    torch.manual_seed(99)
    second = fetch([0, 3, 5], torch.Generator().manual_seed(1))
    assert all(torch.equal(first[key], second[key]) for key in first)


def test_mirrored_in_x_or_as_it_is_and_both_happen(tiny_dataset: VoxelDataset) -> None:
    fetch = batches(tiny_dataset)
    numbers = list(range(len(fetch)))
    got = fetch(numbers, torch.Generator().manual_seed(0))["voxels"]
    original = tiny_dataset.voxels(fetch.rows)
    mirrored = original.flip(2)
    asymmetric = (original != mirrored).flatten(1).any(1)
    as_is = (got == original).flatten(1).all(1)
    turned = (got == mirrored).flatten(1).all(1)
    assert (as_is | turned).all() and (as_is & asymmetric).any() and (turned & asymmetric).any()
    # nothing but x is turned: seen from above and from the side the shape is the same
    assert torch.equal(got.amax(2), original.amax(2))


def test_share_of_texts_left_out(tiny_dataset: VoxelDataset) -> None:
    for share in (0.0, 0.3, 1.0):
        fetch = batches(tiny_dataset, prompt_dropout=share)
        generator = torch.Generator().manual_seed(0)
        left_out = [
            (fetch([n % len(fetch)], generator)["cond"] == 0).all().item() for n in range(600)
        ]
        # 600 draws: three standard deviations are 0.06 at the most
        assert abs(np.mean(left_out) - share) < 0.06


def test_stretched_copies_stay_on_the_training_side(workspace, tiny_dataset: VoxelDataset) -> None:
    data = preset("tiny", "--download_path", str(workspace / "datasets")).data
    data = data.model_copy(update={"stretches": 2})
    assert len(load_voxel_dataset(data).table) == len(
        tiny_dataset.table
    )  # parametric: captions exact
    shapes = [replace(shape, source="folder") for shape in tiny_dataset.table.shapes]
    original = shapes[0].load()
    copies = [stretch(shapes[0], number, 0.25) for number in (0, 1, 0)]
    assert copies[0] == copies[2] and copies[0].fingerprint != copies[1].fingerprint
    assert len({shapes[0].object_id, *(copy.object_id for copy in copies)}) == 3
    factors = np.ptp(copies[0].load().vertices, axis=0) / np.ptp(original.vertices, axis=0)
    assert (np.abs(np.log(factors)) <= 0.25).all() and np.ptp(factors) > 0.01


def test_splits_cover_all_objects_once(tiny_dataset: VoxelDataset) -> None:
    rows = np.concatenate([tiny_dataset.rows(split) for split in ("train", "val", "test")])
    assert sorted(rows) == list(range(len(tiny_dataset.table)))
    assert all(captions for captions in tiny_dataset.captions)
