import torch

from triform.systems.voxel_gan.classifier import ClassifierBatches
from triform.systems.voxel_gan.data import VoxelDataset, load_voxel_dataset
from triform.tasks.shape_generation.categories import GROUPS
from triform.tasks.shape_generation.voxel_classifier import (
    VoxelClassifier,
    classifier_input,
    load_classifier,
)

from .conftest import preset


def test_every_parameter_gets_a_gradient() -> None:
    torch.manual_seed(0)
    classifier = VoxelClassifier()
    classifier((torch.rand(2, 1, 32, 32, 32) < 0.1).float()).square().sum().backward()
    for name, parameter in classifier.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


def test_a_thin_leg_is_still_seen() -> None:
    grid = torch.zeros(1, 1, 64, 64, 64)
    grid[..., 20, :, 31] = 1  # one voxel thick
    assert classifier_input(grid).sum() == 32
    assert torch.equal(classifier_input(classifier_input(grid)), classifier_input(grid))


def test_batches_hold_the_ten_groups_alone(tiny_dataset: VoxelDataset) -> None:
    batches = ClassifierBatches(tiny_dataset, "train", augment=True)
    assert 0 < len(batches) <= len(tiny_dataset.rows("train"))
    batch = batches(range(len(batches)), torch.Generator().manual_seed(0))
    assert batch["voxels"].shape[1:] == (1, 32, 32, 32)
    assert set(batch["voxels"].unique().tolist()) <= {0.0, 1.0}
    assert batch["labels"].min() >= 0 and batch["labels"].max() < len(GROUPS)


def test_shipped_classifier_on_unseen_parametric_shapes(workspace) -> None:
    """It learned from real furniture alone; the parametric kinds are another maker's."""
    flags = ["--dataset", "testdataset:60", "--voxel_size", "64"]
    data = preset("tiny", *flags, "--download_path", str(workspace / "datasets")).data
    dataset = load_voxel_dataset(data)
    batches = [
        ClassifierBatches(dataset, split, augment=False) for split in ("train", "val", "test")
    ]
    classifier = load_classifier()
    right = total = 0
    for some in batches:
        if len(some):
            batch = some(range(len(some)), torch.Generator())
            right += int((classifier(batch["voxels"]).argmax(1) == batch["labels"]).sum())
            total += len(some)
    assert total > 40
    assert right / total > 0.5  # chance is 0.1
