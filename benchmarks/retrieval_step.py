"""One training step of retrieval: ours against the plain way of writing the same step.

    python benchmarks/retrieval_step.py

The documented training (10,000 points in 512 groups of 32, 70 % of them hidden, features of 24
views by a mixture of 8 experts, AdamW), with a point encoder that a processor can bear. The plain
way, as programs of this kind are written: points drawn from each mesh by trimesh for every item of
every step (reading the mesh is left out, in its favour), farthest points by a loop with a sum, all
groups embedded and then hidden by a shuffle per sample, attention spelled out, the decoder of the
hidden run along though no loss reads it, eight experts one after the other, the positives marked
by a loop. Ours is what `triform retrieval train` does, data included.

Both take turns in one process on the same objects; figures are medians of processor time. Before
that, both networks get the same weights, and without hidden groups they have to agree.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
import trimesh
from torch import nn

from triform.base.settings.config import parse
from triform.datasets.listing import list_shapes
from triform.datasets.load import load_dataset
from triform.engine.config import SchedulerConfig
from triform.engine.processes import Processes
from triform.engine.schedule import Schedule
from triform.engine.update import Update
from triform.systems.retrieval import system as retrieval
from triform.systems.retrieval.config import Config
from triform.systems.retrieval.dataset import RetrievalDataset
from triform.systems.retrieval.encoders.recon import Block
from triform.systems.retrieval.system import System

PRESETS = Path(retrieval.__file__).parent / "presets"
FEATURES = 1024
SIZES = {"tiny": (192, 4, 3), "small": (384, 12, 6)}


class PlainStep:
    """The same networks with the plain way around them."""

    def __init__(self, system, meshes):
        self.system, self.meshes, self.config = system, meshes, system.config
        self.shape = system.point_encoder.shape
        # the decoder's blocks are those of the encoder; four of them, and its own positions
        plain = self.shape.__class__(self.shape.embed_dim, 4, self.shape.num_heads)
        self.decoder = nn.ModuleList(
            Block(plain, 0.0, cross_attention=False, stop_grad=False) for _ in range(4)
        )
        width = self.shape.embed_dim
        self.positions = nn.Sequential(nn.Linear(3, 128), nn.GELU(), nn.Linear(128, width))
        self.mask_token = torch.zeros(1, 1, width)
        self.rebuild = nn.Conv1d(width, 6 * self.shape.group_size, 1)
        networks = (system.point_encoder, system.image_tower)
        parameters = [p for n in networks for p in n.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(parameters, lr=2e-5, weight_decay=0.05)

    def batch(self, numbers):
        clouds, features = [], []
        for number in numbers:
            points, _ = trimesh.sample.sample_surface(
                self.meshes[number], self.config.data.points, seed=42 + int(number)
            )
            points = np.asarray(points, np.float32)
            points = points - points.mean(0)
            points = points / np.sqrt((points**2).sum(1)).max()
            points = points * np.random.uniform(2 / 3, 3 / 2, 3) + np.random.uniform(-0.2, 0.2, 3)
            cloud = np.full((len(points), 6), 0.5, np.float32)
            cloud[:, :3] = points
            clouds.append(torch.from_numpy(cloud))
            features.append(torch.from_numpy(np.array(self.system.dataset.features[number])))
        return torch.stack(clouds), torch.stack(features)

    def groups(self, cloud):
        points = cloud[..., :3].contiguous()
        batch, total, _ = points.shape
        rows = torch.arange(batch)
        chosen = torch.empty(batch, self.shape.num_group, dtype=torch.long)
        nearest = torch.full((batch, total), float("inf"))
        newest = torch.zeros(batch, dtype=torch.long)
        for number in range(self.shape.num_group):
            chosen[:, number] = newest
            distance = torch.sum((points - points[rows, newest][:, None]) ** 2, dim=-1)
            nearest = torch.minimum(nearest, distance)
            newest = torch.max(nearest, dim=1).indices
        centers = points.gather(1, chosen[..., None].expand(-1, -1, 3))
        distances = -2 * torch.matmul(centers, points.permute(0, 2, 1))
        distances += torch.sum(centers**2, -1)[..., None]
        distances += torch.sum(points**2, -1)[:, None]
        near = torch.topk(distances, self.shape.group_size, dim=-1, largest=False).indices
        near = (near + rows.view(-1, 1, 1) * total).view(-1)
        groups = cloud.view(batch * total, -1)[near]
        groups = groups.view(batch, self.shape.num_group, self.shape.group_size, 6).contiguous()
        groups[..., :3] = groups[..., :3] - centers[:, :, None]
        return groups, centers

    def attend(self, query, key, value):
        weights = (query * query.shape[-1] ** -0.5) @ key.transpose(-2, -1)
        return weights.softmax(dim=-1) @ value

    def local(self, block, x):
        batch, count, width = x.shape
        heads = block.attn.num_heads
        qkv = block.attn.qkv(block.norm1(x)).reshape(batch, count, 3, heads, width // heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        mixed = self.attend(query, key, value).transpose(1, 2).reshape(batch, count, width)
        x = x + block.attn.proj(mixed)
        return x + block.mlp(block.norm2(x))

    def crossing(self, block, x, others):
        batch, count, width = x.shape
        heads = block.attn.num_heads
        kv = block.attn.kv(block.norm1(others)).reshape(batch, -1, 2, heads, width // heads)
        key, value = kv.permute(2, 0, 3, 1, 4).unbind(0)
        query = block.attn.q(block.norm1(x)).reshape(batch, count, heads, width // heads)
        mixed = self.attend(query.transpose(1, 2), key, value)
        x = x + block.attn.proj(mixed.transpose(1, 2).reshape(batch, count, width))
        return x + block.mlp(block.norm2(x))

    def embed(self, cloud, mask_ratio):
        encoder = self.system.point_encoder
        parts, (groups, centers) = encoder.model, self.groups(cloud)
        batch, total, _ = centers.shape
        hidden = int(mask_ratio * total)
        mask = np.zeros([batch, total])
        for row in range(batch):
            one = np.hstack([np.zeros(total - hidden), np.ones(hidden)])
            np.random.shuffle(one)
            mask[row] = one
        mask = torch.from_numpy(mask).to(torch.bool)
        tokens, positions = parts.embed(groups), parts.pos_embed(centers)
        width = tokens.shape[-1]
        x = tokens[~mask].reshape(batch, -1, width)
        pos = positions[~mask].reshape(batch, -1, width)
        query = parts.global_query.expand(batch, -1, -1)
        blocks = parts.encoder.blocks
        for local, glob in zip(blocks.local_blocks, blocks.global_blocks, strict=True):
            x = self.local(local, x + pos)
            query = self.crossing(glob, query, x)
        query, x = parts.encoder.ln_f2(query), parts.encoder.ln_f1(x)
        if hidden:
            rest = self.positions(centers)
            places = torch.cat(
                [rest[~mask].view(batch, -1, width), rest[mask].view(batch, -1, width)], 1
            )
            x = torch.cat([x, self.mask_token.expand(batch, hidden, -1)], 1)
            for block in self.decoder:
                x = self.local(block, x + places)
            self.rebuild(x[:, -hidden:].transpose(1, 2))
        img, text = query.split([self.shape.img_queries, self.shape.text_queries], 1)
        img = F.normalize(encoder.img_proj(img), dim=-1).mean(1)
        text = F.normalize(encoder.text_proj(text), dim=-1).mean(1)
        return F.normalize(img + encoder.text_ratio * text, dim=-1)

    def head(self, features):
        head = self.system.image_tower.head
        weights = torch.softmax(head.gate(features), dim=-1)
        outs = torch.stack([expert(features) for expert in head.experts], dim=1)
        return F.normalize((weights.unsqueeze(-1) * outs).sum(1), dim=-1)

    def loss(self, points, images):
        count, views, _ = images.shape
        flat, scale = images.reshape(count * views, -1), 1 / 0.07
        logits, turned = points @ flat.t() * scale, flat @ points.t() * scale
        positive = torch.zeros(count, count * views, dtype=torch.bool)
        for row in range(count):
            positive[row, row * views : (row + 1) * views] = True
        hit = logits.masked_fill(~positive, float("-inf")).logsumexp(dim=1)
        first = -(hit - logits.logsumexp(dim=1)).mean()
        second = F.cross_entropy(turned, torch.arange(count).repeat_interleave(views))
        return (first + second) / 2

    def __call__(self, numbers):
        cloud, features = self.batch(numbers)
        points = self.embed(cloud, self.config.model.mask_ratio)
        images = self.head(features.flatten(0, 1)).view(len(numbers), -1, points.shape[-1])
        loss = self.loss(points, images)
        self.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(
            [p for group in self.optimizer.param_groups for p in group["params"]], 10
        )
        self.optimizer.step()


class OurStep:
    """What the engine does, from the loader's batch on."""

    def __init__(self, system):
        self.system = system
        schedule = Schedule(
            SchedulerConfig(type="none"), warmup_steps=0, total_steps=0, epochs=1, mode="max"
        )
        cpu = torch.device("cpu")
        self.update = Update(
            system.networks, system.optimizers, schedule, system.config.training, "float32",
            Processes(cpu),
        )  # fmt: skip

    def __call__(self, numbers):
        batch = self.system.loader.fetch(numbers, torch.Generator().manual_seed(0))
        self.update.begin(0, 0)
        self.system.step(batch, self.update)


def objects_of(shapes, points):
    """Stored clouds and features, as a library and its `.npz` hold them."""
    random = np.random.default_rng(0)
    meshes, clouds = [], []
    for shape in shapes:
        mesh = shape.load()
        meshes.append(trimesh.Trimesh(mesh.vertices, mesh.faces, process=False))
        clouds.append(trimesh.sample.sample_surface(meshes[-1], points, seed=0)[0])
    objects = RetrievalDataset(
        ids=tuple(shape.object_id for shape in shapes),
        sources=tuple(shape.object_id for shape in shapes),
        splits=("train",) * len(shapes),
        captions=((),) * len(shapes),
        points=np.asarray(clouds, np.float32),
        colors=np.full((len(shapes), points, 3), 102, np.uint8),
        features=random.normal(size=(len(shapes), 24, FEATURES)).astype(np.float32),
    )
    return objects, meshes


def agree(system, plain, cloud):
    """Without hidden groups both ways are the same function."""
    system.point_encoder.eval()
    with torch.no_grad():
        ours = system.point_encoder(cloud[..., :3], cloud[..., 3:])
        theirs = plain.embed(cloud, 0.0)
    system.point_encoder.train()
    return float((ours - theirs).abs().max())


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=5, help="timed steps of each way")
    parser.add_argument("--batch_size", type=int, default=8)
    parser.add_argument("--size", choices=SIZES, default="tiny")
    parser.add_argument("--points", type=int, default=10_000)
    parser.add_argument("--num_group", type=int, default=512)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    width, depth, heads = SIZES[args.size]
    words = ["--config", "documented", "--device", "cpu", "--points", str(args.points)]
    words += ["--num_group", str(args.num_group), "--batch_size", str(args.batch_size)]
    words += ["--point_width", str(width), "--point_depth", str(depth)]
    words += ["--point_heads", str(heads), "--drop_path_rate", "0"]
    config = parse(Config, words, PRESETS)
    with tempfile.TemporaryDirectory() as folder:
        shapes = list_shapes(load_dataset([f"testdataset:{4 * args.batch_size}"], folder))
        objects, meshes = objects_of(shapes, args.points)
    system = System(config, objects)
    plain, ours = PlainStep(system, meshes), OurStep(system)
    for network in system.networks.values():
        network.train()
    cloud, _ = plain.batch(range(2))
    print(
        f"{args.size} point encoder, {args.points:,} points, {args.num_group} groups, batches of "
        f"{args.batch_size}, {args.threads} thread(s), {args.rounds} steps each"
    )
    print(
        f"without hidden groups the embeddings differ by {agree(system, plain, cloud):.1e} at most"
    )
    ways = {"plain": plain, "ours": ours}
    times = {name: [] for name in ways}
    for number in range(args.rounds + 1):
        rows = np.random.default_rng(number).permutation(len(objects))[: args.batch_size]
        for name, step in ways.items():
            start = time.process_time()
            step(rows.tolist())
            if number:  # the first step of each compiles and warms up
                times[name].append(time.process_time() - start)
    medians = {name: float(np.median(seconds)) for name, seconds in times.items()}
    for name, seconds in times.items():
        print(f"  {name:6} median {medians[name]:7.3f} s, lowest {min(seconds):7.3f} s")
    print(f"  ratio {medians['plain'] / medians['ours']:.2f} (bar: 2)")


if __name__ == "__main__":
    main()
