"""Text encoders by name, and a cache of embeddings.

| name | encoder | vectors |
|---|---|---|
| `minilm` | all-MiniLM-L6-v2, installed with the project | 384, length 1 |
| `use-multilingual` | Universal Sentence Encoder of 16 languages | 512, length 1 |
| `clip` | open_clip ViT-B/32 with OpenAI's weights, downloaded | 512, not normalised |
| `ARCHITECTURE/TAG`, such as `ViT-L-14/openai` | any published open_clip model | as it is |
| a folder | saved by open_clip, transformers or sentence-transformers | as it says |
| any other name | a model of the hub, in one of those formats | as it says |
"""

import functools
import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from triform.base.errors import UserError
from triform.base.files import atomic_write
from triform.base.logging import get_logger
from triform.pretrained.named_models import is_known
from triform.pretrained.token_states import TokenEncoder

CLIP_ARCHITECTURE, CLIP_TAG = "ViT-B-32", "openai"
OPEN_CLIP_CONFIG = "open_clip_config.json"
PACKAGED = ("minilm", "use-multilingual")
"""Encoders that are installed with the project."""
logger = get_logger(__name__)


class TextEncoder(Protocol):
    """Interface of text encoders.

    Attributes:
        name: Name that `load_text_encoder` takes.
        dim: Width of an embedding.
        fingerprint: Changes with the embeddings.
    """

    name: str
    dim: int
    fingerprint: str

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """N texts to (N, dim) float32."""
        ...


class TokenTextEncoder(TextEncoder, TokenEncoder, Protocol):
    """Text encoder that also gives a state of each token: `minilm`, `use-multilingual`."""


def load_text_encoder(name: str, device: str = "cpu") -> TextEncoder:
    """Load a text encoder.

    Args:
        name: `minilm`, `use-multilingual`, `clip`, a name of open_clip or transformers, or a
            folder (table above).
        device: Torch device.

    Raises:
        UserError: It is not installed, cannot be downloaded or cannot be read.
    """
    if name in PACKAGED:
        return packaged_encoder(name, str(device))
    if name == "clip":
        from triform.pretrained.open_clip_text import OpenCLIPText, from_tag

        return from_tag(name, CLIP_ARCHITECTURE, CLIP_TAG, device, OpenCLIPText)
    folder = Path(name).expanduser()
    # A file may name what is known, so that a folder of that name beside it must not be meant.
    if folder.is_dir() and not is_known(name, "text encoder"):
        return load_folder(name, folder, device)
    if name.startswith((".", "~", os.sep)) or folder.is_file() or name.count("/") > 1:
        raise UserError(f"text encoder {name!r}: there is no such folder")
    if (tag := published_tag(name)) is not None:
        from triform.pretrained.open_clip_text import OpenCLIPText, from_tag

        return from_tag(name, *tag, device, OpenCLIPText)
    from triform.pretrained import hub, open_clip_text, transformers_text

    files = sorted({*open_clip_text.WEIGHT_FILES, *transformers_text.FILES} - {"*.bin"})
    return load_folder(name, hub.hub_folder(name.removeprefix("hf-hub:"), files, []), device)


@functools.lru_cache(maxsize=len(PACKAGED))
def packaged_encoder(name: str, device: str) -> TextEncoder:
    """An encoder that is installed as a package, read once in a process (about a second)."""
    if name == "minilm":
        from triform.pretrained.minilm import MiniLM

        return MiniLM(device)
    from triform.pretrained.use_multilingual import MultilingualUSE

    return MultilingualUSE(device)


def load_folder(name: str, folder: Path, device: str) -> TextEncoder:
    """Load an encoder from a folder, by the files that are in it."""
    if (folder / OPEN_CLIP_CONFIG).is_file():
        from triform.pretrained.open_clip_text import OpenCLIPText, from_folder

        logger.info("text encoder %r: loading %s with open_clip", name, folder)
        return from_folder(name, folder, device, OpenCLIPText)
    if (folder / "config.json").is_file():
        from triform.pretrained.transformers_text import TransformersText

        logger.info("text encoder %r: loading %s with transformers", name, folder)
        return TransformersText(name, folder, device)
    raise UserError(
        f"text encoder {name!r}: {folder} holds neither {OPEN_CLIP_CONFIG} nor config.json"
    )


def published_tag(name: str) -> tuple[str, str] | None:
    """Architecture and tag of a name of open_clip, else None."""
    architecture, _, tag = name.partition("/")
    # The shape of their names decides first, so that other names do not wait for the import.
    if not re.match(
        r"(ViT|RN\d|coca_|convnext_|EVA|MobileCLIP|PE-|roberta-ViT|xlm-)", architecture
    ):
        return None
    from triform.pretrained.network_loading import import_open_clip
    from triform.pretrained.open_clip_text import NEEDED_BY

    open_clip = import_open_clip(NEEDED_BY)
    if architecture not in open_clip.list_models():
        return None
    tags = open_clip.list_pretrained_tags_by_model(architecture)
    return architecture, tag or (tags[0] if tags else "")


def embed_texts(
    encoder: TextEncoder, texts: Sequence[str], cache: Path | None = None
) -> NDArray[np.float32]:
    """Embed texts, each distinct one once, with a cache on disk.

    Args:
        encoder: The text encoder.
        texts: N texts, repeats allowed.
        cache: File (`*.safetensors`) or folder of the cache. A file of another encoder or an
            unreadable one is overwritten. None: no cache.

    Returns:
        (N, dim) float32, row i for `texts[i]`.
    """
    path = None if cache is None else cache_file(cache, encoder)
    embeddings = {} if path is None else read_cache(path, encoder)
    missing = [text for text in dict.fromkeys(texts) if text not in embeddings]
    if missing:
        embeddings.update(zip(missing, encoder.encode(missing), strict=True))
        if path is not None:
            write_cache(path, encoder, embeddings)
    table = np.zeros((len(texts), encoder.dim), dtype=np.float32)
    for row, text in enumerate(texts):
        table[row] = embeddings[text]
    return table


def cache_file(cache: Path, encoder: TextEncoder) -> Path:
    """Path of the cache: the file itself, or the encoder's file in a folder."""
    if cache.suffix == ".safetensors":
        return cache
    slug = re.sub(r"[^A-Za-z0-9]+", "-", encoder.name).strip("-")[-40:]
    return cache / f"texts-{slug}-{encoder.fingerprint[-12:]}.safetensors"


def read_cache(path: Path, encoder: TextEncoder) -> dict[str, NDArray[np.float32]]:
    """Read text -> vector; empty if the file is missing, broken or another encoder's."""
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        return {}
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            if metadata.get("encoder") != encoder.fingerprint:
                logger.info("%s: made by another text encoder, writing it anew", path)
                return {}
            texts = json.loads(metadata["texts"])
            if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
                raise ValueError("its texts are no list of texts")
            vectors = file.get_tensor("embeddings")
    except (SafetensorError, OSError, KeyError, ValueError, RecursionError) as error:
        logger.warning("%s: cannot be read (%s), writing it anew", path, error)
        return {}
    if vectors.shape != (len(texts), encoder.dim) or not np.isfinite(vectors).all():
        logger.warning("%s: holds shape %s, writing it anew", path, vectors.shape)
        return {}
    return dict(zip(texts, vectors, strict=True))


def write_cache(
    path: Path, encoder: TextEncoder, embeddings: dict[str, NDArray[np.float32]]
) -> None:
    """Add vectors to the cache; processes that write at once keep both."""
    from filelock import FileLock
    from safetensors.numpy import save

    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_suffix(".lock")):
        embeddings = read_cache(path, encoder) | embeddings
        metadata = {
            "encoder": encoder.fingerprint,
            "texts": json.dumps(list(embeddings), ensure_ascii=False),
        }
        vectors = np.stack(list(embeddings.values())).astype(np.float32)
        with atomic_write(path) as file:
            file.write(save({"embeddings": vectors}, metadata))
