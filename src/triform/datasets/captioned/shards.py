"""WebDataset shards: tar files of images with captions, streamed in a reproducible order.

Conventions of open_clip and img2dataset: files with the same name before the first dot are a
sample; `.jpg`, `.png`, `.webp` is the image, `.txt` its caption, or `.json` with `caption` or
`captions`. Nothing but one shard's current sample and the shuffle buffer is in memory.

The order depends on seed and epoch: shards are shuffled, their samples are divided over the
processes in equal blocks, and a buffer shuffles within a block.
"""

from __future__ import annotations

import hashlib
import json
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from triform.base.errors import UsageError, UserError
from triform.base.files import atomic_write
from triform.base.logging import get_logger
from triform.base.paths import cache_dir
from triform.base.plain_data import parse_json
from triform.base.seeding import generator
from triform.images.read import IMAGE_SUFFIXES

SUFFIX = ".tar"
IMAGES = tuple(suffix[1:] for suffix in IMAGE_SUFFIXES)
TEXTS = ("txt", "json")
MAX_SHARDS = 1_000_000
logger = get_logger(__name__)


@dataclass(frozen=True)
class Sample:
    """A sample of a shard.

    Attributes:
        name: Shard and key.
        image: The file's bytes, not decoded.
        captions: One or more.
    """

    name: str
    image: bytes
    captions: tuple[str, ...]


def is_shards(source: str) -> bool:
    """Whether the name of a data set means shards."""
    return source.endswith(SUFFIX)


class Shards:
    """Samples of shards in the order of an epoch.

    Args:
        pattern: Path of a shard; `{00000..00099}` stands for all numbers between, `*` for anything.
        seed: Of the order.
        buffer_size: Samples among which the next one is drawn; 1 keeps the order of the shards.
        index: Rank of this process.
        count: Number of processes.

    Attributes:
        paths: The shards.
        num_samples: Samples in all of them.

    Raises:
        UsageError: No such shards.
        UserError: One cannot be read, or they hold no samples.
    """

    def __init__(
        self, pattern: str, *, seed: int = 0, buffer_size: int = 1, index: int = 0, count: int = 1
    ):
        self.paths = find_shards(pattern)
        self.seed, self.buffer_size, self.index, self.count = seed, buffer_size, index, count
        self._sizes = [count_samples(path) for path in self.paths]
        self.num_samples = sum(self._sizes)
        if not self.num_samples:
            raise UserError(
                f"{pattern}: no samples in {len(self.paths)} shards; a sample is an image and a "
                ".txt or .json of the same name"
            )
        self._has_warned = False

    def epoch(self, epoch: int) -> Iterator[Sample]:
        """Samples of this process in the order of an epoch."""
        random = generator("buffer", self.seed, epoch, self.index)
        buffer: list[Sample] = []
        for sample in self._block(epoch):
            if len(buffer) < self.buffer_size:
                buffer.append(sample)
                continue
            position = int(torch.randint(len(buffer), (), generator=random))
            yield buffer[position]
            buffer[position] = sample
        for position in torch.randperm(len(buffer), generator=random).tolist():
            yield buffer[position]

    def _block(self, epoch: int) -> Iterator[Sample]:
        """This process's share of all samples, shard by shard."""
        order = list(range(len(self.paths)))
        if self.buffer_size > 1:
            order = torch.randperm(
                len(self.paths), generator=generator("shards", self.seed, epoch)
            ).tolist()
        first = self.num_samples * self.index // self.count
        last = self.num_samples * (self.index + 1) // self.count
        start = 0
        for shard in order:
            end = start + self._sizes[shard]
            if start < last and end > first:
                samples = enumerate(read_shard(self.paths[shard]), start)
                yield from self._valid(
                    sample for position, sample in samples if first <= position < last
                )
            start = end

    def _valid(self, samples: Iterator[Sample]) -> Iterator[Sample]:
        """Leave out samples without a caption; that is said once."""
        for sample in samples:
            if sample.captions:
                yield sample
            elif not self._has_warned:
                self._has_warned = True
                logger.warning(
                    "%s: no caption; such samples are left out, others may follow", sample.name
                )


def find_shards(pattern: str) -> list[Path]:
    """Paths of the shards that a pattern means, in order.

    Raises:
        UsageError: None, or one is not there.
    """
    braceexpand = _library().shardlists.braceexpand.braceexpand
    paths: list[Path] = []
    for name in braceexpand(str(Path(pattern).expanduser())):
        if len(paths) > MAX_SHARDS:
            raise UsageError(f"dataset {pattern}: more than {MAX_SHARDS:,} shards")
        path = Path(name)
        found = sorted(path.parent.glob(path.name)) if "*" in path.name else [path]
        if not found or not found[0].is_file():
            raise UsageError(f"dataset {pattern}: {name} is not there")
        paths += found
    return paths


def count_samples(path: Path) -> int:
    """Samples in a shard, by the names of its files; counted once and kept in the cache folder.

    Raises:
        UserError: The shard cannot be read.
    """
    stat = path.stat()
    stamp = f"{path.resolve()} {stat.st_size} {stat.st_mtime_ns}"
    digest = hashlib.sha256(stamp.encode()).hexdigest()[:32]
    cached = cache_dir() / "shards" / f"{digest}.json"
    if cached.is_file():
        try:
            return int(json.loads(cached.read_text("utf-8")))
        except (OSError, ValueError, TypeError):
            pass
    suffixes: dict[str, set[str]] = {}
    base_plus_ext = _library().tariterators.base_plus_ext
    try:
        with tarfile.open(path, "r|*") as archive:
            for member in archive:
                name, suffix = base_plus_ext(member.name)
                if member.isreg() and name is not None:
                    suffixes.setdefault(name, set()).add(suffix.lower())
                archive.members = []  # type: ignore[attr-defined]
    except (tarfile.TarError, OSError, EOFError) as error:
        raise _damaged(path, error) from None
    count = sum(
        not found.isdisjoint(IMAGES) and not found.isdisjoint(TEXTS) for found in suffixes.values()
    )
    cached.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(cached, "w") as stream:
        stream.write(str(count))
    return count


def read_shard(path: Path) -> Iterator[Sample]:
    """Samples of a shard in its order; `captions` is empty where a sample's cannot be read.

    Raises:
        UserError: The shard cannot be read.
    """
    library = _library().tariterators
    try:
        with path.open("rb") as stream:
            files = library.tar_file_expander(
                [{"url": str(path), "stream": stream}], select_files=_is_needed
            )
            for sample in library.group_by_keys(files):
                image = next((sample[suffix] for suffix in IMAGES if suffix in sample), None)
                if image is not None and not sample.keys().isdisjoint(TEXTS):
                    name = f"{path.name}/{sample['__key__']}"
                    yield Sample(name, image, read_captions(sample.get("txt"), sample.get("json")))
    except (tarfile.TarError, OSError, EOFError, ValueError) as error:
        raise _damaged(path, error) from None


def read_captions(text: bytes | None, metadata: bytes | None) -> tuple[str, ...]:
    """Captions of a sample from its text, or else from `caption` or `captions` of its metadata."""
    if text is not None:
        captions: Sequence[object] = [text.decode("utf-8", "replace")]
    else:
        try:
            content = parse_json(metadata or b"")
        except (ValueError, UnicodeDecodeError):
            return ()
        content = content if isinstance(content, dict) else {}
        several = content.get("captions")
        captions = several if isinstance(several, list) else [content.get("caption")]
    texts = [each.strip() for each in captions if isinstance(each, str)]
    return tuple(dict.fromkeys(filter(None, texts)))


def _is_needed(name: str) -> bool:
    return name.lower().endswith((*IMAGE_SUFFIXES, *(f".{suffix}" for suffix in TEXTS)))


def _damaged(path: Path, error: BaseException) -> UserError:
    reason = " ".join(str(error).split())[:120]
    return UserError(f"{path}: no tar file that can be read ({reason}); remove or repair it")


def _library() -> Any:
    """The package webdataset."""
    try:
        import webdataset
    except ModuleNotFoundError as error:
        if error.name != "webdataset":
            raise
        raise UserError(
            "shards need the extra `webdataset`: pip install 'triform[webdataset]'"
        ) from None
    return webdataset
