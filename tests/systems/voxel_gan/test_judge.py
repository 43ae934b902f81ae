import torch

from triform.systems.voxel_gan.data import Objects, load_objects
from triform.systems.voxel_gan.groups import GROUPS
from triform.systems.voxel_gan.judge import Judge, JudgeBatches, judge_view, load_judge

from .conftest import preset


def test_every_parameter_gets_a_gradient() -> None:
    torch.manual_seed(0)
    judge = Judge()
    judge((torch.rand(2, 1, 32, 32, 32) < 0.1).float()).square().sum().backward()
    for name, parameter in judge.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


def test_a_thin_leg_is_still_seen() -> None:
    grid = torch.zeros(1, 1, 64, 64, 64)
    grid[..., 20, :, 31] = 1  # one voxel thick
    assert judge_view(grid).sum() == 32
    assert torch.equal(judge_view(judge_view(grid)), judge_view(grid))


def test_batches_hold_the_ten_groups_alone(tiny_objects: Objects) -> None:
    batches = JudgeBatches(tiny_objects, "train", augment=True)
    assert 0 < len(batches) <= len(tiny_objects.rows("train"))
    batch = batches(range(len(batches)), torch.Generator().manual_seed(0))
    assert batch["voxels"].shape[1:] == (1, 32, 32, 32)
    assert set(batch["voxels"].unique().tolist()) <= {0.0, 1.0}
    assert batch["labels"].min() >= 0 and batch["labels"].max() < len(GROUPS)


def test_shipped_judge_knows_parametric_shapes_that_it_never_saw(workspace) -> None:
    """It learned from real furniture alone; the parametric kinds are another maker's."""
    flags = ["--dataset", "testdataset:60", "--voxel_size", "64"]
    data = preset("tiny", *flags, "--download_path", str(workspace / "datasets")).data
    objects = load_objects(data)
    batches = [JudgeBatches(objects, split, augment=False) for split in ("train", "val", "test")]
    judge = load_judge()
    right = total = 0
    for some in batches:
        if len(some):
            batch = some(range(len(some)), torch.Generator())
            right += int((judge(batch["voxels"]).argmax(1) == batch["labels"]).sum())
            total += len(some)
    assert total > 40
    assert right / total > 0.5  # chance is 0.1
