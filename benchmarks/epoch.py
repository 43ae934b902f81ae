"""An epoch over real furniture: kept voxels against voxelizing every mesh again in every epoch.

    python benchmarks/epoch.py --directory /usr/share/sweethome3d/furniture

Ours is an epoch after the first, as training does it: batches out of the voxel cache. The other
side voxelizes each mesh again in each epoch with trimesh (`voxelized(longest side / voxel_size)`,
the surface alone), the meshes being in memory already, which is in its favour. Both train the same
documented network on the same objects, a step per batch, in one process; figures are processor
time. Two ratios: the whole epoch, in which the step is the same on both sides and bounds what any
kind of data can gain, and the data alone.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import torch
import trimesh
from voxelize import at_most, seconds

from triform.base.paths import cache_dir
from triform.datasets.listing import list_shapes
from triform.datasets.load import load_dataset
from triform.datasets.voxels import voxelize_shapes
from triform.engine.config import SchedulerConfig
from triform.engine.processes import Processes
from triform.engine.schedule import Schedule
from triform.engine.update import Update
from triform.systems.voxel_gan.config import Config, DataConfig, ModelConfig
from triform.systems.voxel_gan.data import VoxelDataset
from triform.systems.voxel_gan.system import System


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--directory", type=Path, default=Path("datasets/sweethome3d"))
    parser.add_argument("--objects", type=int, default=40, help="objects, spread over all of them")
    parser.add_argument("--voxel_size", type=int, default=64)
    parser.add_argument("--batch_size", type=int, default=8)
    parser.add_argument("--hidden_channels", type=int, default=ModelConfig().hidden_channels)
    parser.add_argument("--limit", type=float, default=60.0, help="seconds per mesh for trimesh")
    args = parser.parse_args()

    objects = load_sample(args.directory, args.objects, args.voxel_size)
    system, update = build(args, objects)
    rows = objects.rows("train")

    ours_data, ours_steps = ours_epoch(system, update)  # the first: caches and kernels
    ours_data, ours_steps = ours_epoch(system, update)
    num_batches = system.num_batches
    theirs, given_up = revoxelize([objects.table.shapes[row] for row in rows], args)
    theirs_steps = ours_steps  # the same network, batches of the same size

    per_object = ours_data / (num_batches * args.batch_size)
    finished = len(rows) - given_up
    theirs_data = np.mean(theirs) * num_batches * args.batch_size
    print(f"{len(rows)} objects, {args.voxel_size}^3, {num_batches} batches of {args.batch_size}")
    print(f"  trimesh finished {finished}; each of the others counts {args.limit:g} s")
    print(f"  {'':22} {'data':>10} {'steps':>10} {'epoch':>10}")
    for name, data, steps in (
        ("kept voxels (ours)", ours_data, ours_steps),
        ("voxelized every epoch", theirs_data, theirs_steps),
    ):
        print(f"  {name:22} {data:8.2f} s {steps:8.2f} s {data + steps:8.2f} s")
    print(
        f"  per object: ours {per_object * 1e3:.2f} ms, trimesh mean {np.mean(theirs):.2f} s, "
        f"median {np.median(theirs):.2f} s"
    )
    whole = (theirs_data + theirs_steps) / (ours_data + ours_steps)
    print(f"  ratio of whole epochs, network step included: {whole:.1f}")
    print(f"  ratio of the data alone: {theirs_data / ours_data:.0f}")


def load_sample(directory, count, voxel_size):
    """Objects of a folder as the system keeps them, all of them for training but two."""
    if not directory.is_dir():
        print(f"no folder {directory}; using the project's parametric furniture")
        (directory,) = load_dataset(f"testdataset:{count}", directory.parent)
    shapes = list_shapes([directory])
    step = max(1, len(shapes) // count)
    table = voxelize_shapes(
        shapes[::step][:count], voxel_size, cache=cache_dir() / "voxels", processes=1
    )
    return VoxelDataset(
        table=table,
        shape_index=np.arange(len(table.shapes)),
        splits=("val", "test", *("train",) * (len(table.shapes) - 2)),
        captions=tuple(shape.english or shape.captions for shape in table.shapes),
        categories=tuple(shape.category for shape in table.shapes),
    )


def build(args, objects):
    """The documented system with the engine's update, without a run directory."""
    data = DataConfig(voxel_size=args.voxel_size, batch_size=args.batch_size)
    model = ModelConfig(
        hidden_channels=args.hidden_channels, disc_hidden_channels=args.hidden_channels
    )
    config = Config(data=data, model=model)
    system = System(config, objects)
    schedule = Schedule(
        SchedulerConfig(type="none"), warmup_steps=0, total_steps=0, epochs=1, mode="max"
    )
    update = Update(
        system.networks,
        system.optimizers,
        schedule,
        config.training,
        "float32",
        Processes(torch.device("cpu")),
    )
    return system, update


def ours_epoch(system, update):
    """Processor seconds of an epoch's batches, and of its steps."""
    data = steps = 0.0
    batches = system.batches()
    while True:
        start = time.process_time()
        batch = next(batches, None)
        data += time.process_time() - start
        if batch is None:
            return data, steps
        start = time.process_time()
        update.begin(0, 0)
        system.step(batch, update)
        steps += time.process_time() - start


def revoxelize(shapes, args):
    """Processor seconds of trimesh for each shape, and how many it did not finish in time."""
    times, given_up = [], 0
    for shape in shapes:
        mesh = shape.load()
        start = time.process_time()
        try:
            with at_most(args.limit):
                seconds(lambda mesh=mesh: surface_voxels(mesh, args.voxel_size))
        except (TimeoutError, ValueError, MemoryError) as error:
            given_up += 1
            print(f"  {shape.object_id}: trimesh gave up ({type(error).__name__})")
        times.append(time.process_time() - start)
    return times, given_up


def surface_voxels(mesh, voxel_size):
    """What the original program does in every epoch: surface voxels of a mesh, as an array."""
    plain = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)
    return plain.voxelized(pitch=plain.extents.max() / voxel_size).matrix


if __name__ == "__main__":
    main()
