"""Settings of the verbs but `train`. Imports no torch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from triform.base.settings.config import Settings
from triform.base.settings.path_role import Input, Output, Storage
from triform.engine.config import DeviceName, NonEmptyTexts, Texts

DEFAULT_MODEL = "ViT-B-32/openai"
"""Pretrained model of the verbs for photographs."""
SHIPPED_MODEL = "triform-clip"
"""`--model` for the weights that ship with the project."""
TEMPLATES = ("a photo of a {}", "a picture of a {}", "a drawing of a {}", "{}")

INDEX_FILE = "photos.gallery"
"""Index of photos, where none is named."""


class ModelChoice(Settings):
    """Settings of the verbs that use a trained model."""

    default_model: ClassVar[str] = ""
    """Pretrained model where none is named; empty = the weights that ship, or the newest run."""

    checkpoint: Annotated[str | None, Input()] = Field(
        None,
        description="Trained weights or a run directory; by default the weights that ship, of "
        "emoji.",
    )
    model: Annotated[str, Input()] = Field(
        "",
        description="A pretrained CLIP or SigLIP instead, such as ViT-B-32/openai: an open_clip "
        "name, a name of the hub, or a folder that open_clip or transformers saved.",
    )
    text_encoder: Annotated[str, Input()] = Field(
        "", description="Frozen text encoder instead of the one named in the checkpoint."
    )
    batch_size: int = Field(64, ge=1, description="Images at once.")
    device: DeviceName = Field("auto", description="auto, cpu, gpu, cuda or cuda:N.")


class PhotoModelChoice(ModelChoice):
    """Settings of the verbs that use a model of photographs."""

    default_model = DEFAULT_MODEL

    checkpoint: Annotated[str | None, Input()] = Field(
        None, description="Trained weights or a run directory instead of a pretrained model."
    )
    model: Annotated[str, Input()] = Field(
        "",
        description="A pretrained CLIP or SigLIP: an open_clip name, a name of the hub, or a "
        f"folder that open_clip or transformers saved; empty = {DEFAULT_MODEL}. {SHIPPED_MODEL} = "
        "the weights that ship, which know emoji, not photographs.",
        examples=[DEFAULT_MODEL, SHIPPED_MODEL, "ViT-B-16-SigLIP2/webli"],
    )


class ClassifyConfig(PhotoModelChoice):
    """Classify images by names of classes (zero-shot)."""

    images: Annotated[Texts, Input()] = Field(
        min_length=1, description="Images: files, folders, or patterns such as photos/*.jpg."
    )
    classes: Texts = Field((), description="Names of the classes.")
    classes_file: Annotated[Path | None, Input()] = Field(
        None, description="File with a class in each line."
    )
    templates: Texts = Field(
        TEMPLATES,
        min_length=1,
        description="Sentences in which {} stands for a class; their embeddings are averaged.",
    )
    top: int = Field(3, ge=1, description="Classes that are shown for an image.")


class DataChoice(ModelChoice):
    """Data of the verbs that measure."""

    dataset: Annotated[str, Input()] = Field(
        "", description="Other data, as --dataset of train; empty = the same."
    )
    images_dir: Annotated[str, Input()] = Field("", description="Folder of other images (csv).")
    caption_file: Annotated[str, Input()] = Field(
        "", description="CSV image,caption of other captions (csv)."
    )
    download_path: Annotated[str, Storage()] = Field("datasets", description="Download folder.")
    split: str = Field("", description="Split of the data; empty = test, or else val.")
    seed: int = Field(42, ge=0, lt=2**63, description="Seed of what is sampled.")


class EvaluateConfig(DataChoice):
    """Measure matching, retrieval, zero-shot classification and a linear probe."""

    gallery: int = Field(
        500,
        ge=0,
        description="Images in the gallery: a sample of the split, or the split and distractors "
        "of other test splits; 0 = the whole split.",
    )
    templates: Texts = Field(TEMPLATES, min_length=1, description="As in classify.")
    baselines: bool = Field(True, description="Measure baselines without this model too.")
    features: str = Field(
        "",
        description="System whose shipped or newest model gives features for another baseline, "
        "such as captioner.",
    )


class AnalyzeConfig(DataChoice):
    """Analyze the embedding space: modality gap, alignment, uniformity, similarities."""

    num_pairs: int = Field(1000, ge=2, description="Images with captions, at most.")
    matrix: int = Field(16, ge=2, le=64, description="Pairs in the drawn matrix.")
    output: Annotated[Path, Output(".png")] = Field(
        Path("similarities.png"), description="File of the drawn matrix."
    )


class SearchConfig(PhotoModelChoice):
    """Search indexed photos by words, images and both.

    A query is words ('a dog on the beach'), an image (./dog.jpg), or several of them: +more of
    this, +2:twice as much of this, -not this.
    """

    positional = ("query",)

    query: Annotated[NonEmptyTexts, Input()] = Field(
        min_length=1,
        description="What is looked for: words, images, '+more', '+2:much more', '-not this'.",
    )
    without: Texts = Field((), description="What must not be there; as '-not this'.")
    index_file: Annotated[str, Storage()] = Field(
        INDEX_FILE, min_length=1, description="The index."
    )
    top_k: int = Field(10, ge=1, le=10_000, description="Hits.")
    folder: Annotated[str, Input()] = Field(
        "", description="Only photos in this folder and those below."
    )
    taken_from: str = Field(
        "", description="Only photos since this year, month or day, such as 2024-05."
    )
    taken_to: str = Field("", description="Only photos up to this year, month or day, included.")
    min_width: int = Field(0, ge=0, description="Only photos with so many pixels.")
    min_height: int = Field(0, ge=0, description="Only photos with so many pixels.")
    min_bytes: int = Field(0, ge=0, description="Only files of at least this size.")
    max_bytes: int = Field(0, ge=0, description="Only files of at most this size; 0 = any.")
    format: Texts = Field((), description="Only these formats, such as jpeg, heic, raw, video.")
    sort: Literal["similarity", "newest", "oldest"] = Field(
        "similarity", description="Order of the hits."
    )
    cutoff: float = Field(
        0.0,
        ge=0,
        le=2,
        description="Leave out what is less similar than the best hit by more than this; 0 = "
        "nothing. What names and folders say stays.",
    )
    words: bool = Field(True, description="Also search names of files and folders.")
    sheet: Annotated[Path | None, Output(".png")] = Field(
        None, description="Save the hits as an image (PNG)."
    )


class IndexConfig(PhotoModelChoice):
    """Index folders of photos for search; run again, it adds what is new and removes what is gone.

    The command can be killed at any time and resumes when it is run again.
    """

    positional = ("folders",)

    folders: Annotated[Texts, Input()] = Field(
        min_length=1, description="Folders of photos and videos."
    )
    index_file: Annotated[str, Storage()] = Field(
        INDEX_FILE,
        min_length=1,
        description="The index: a file that ends in .gallery, or chroma://HOST:PORT/NAME.",
    )
    exclude: Texts = Field(
        (),
        description="Patterns of files and folders to leave out, such as '*.gif' or 2019/raw; "
        "hidden ones, @eaDir, node_modules and the like are left out always.",
    )
    follow_links: bool = Field(False, description="Follow links to files and folders.")
    frames: int = Field(
        8, ge=1, le=1000, description="Frames of a video, and at most one for each second."
    )
    workers: int = Field(
        0,
        ge=0,
        le=4096,
        description="Threads that read photos, or processes of a cluster; 0 = one for each core.",
    )
    cluster: str = Field("", description="Address of a Ray cluster (auto: the one that runs here).")
    retry_failed: bool = Field(
        False, description="Read files again that could not be read and have not changed."
    )
    allow_empty: bool = Field(
        False, description="Remove the photos of a folder that is empty now, or no disk."
    )
    rebuild: bool = Field(False, description="Begin the index anew.")


class DuplicatesConfig(Settings):
    """List indexed photos that are the same image, and photos that are similar. Deletes nothing."""

    index_file: Annotated[str, Storage()] = Field(
        INDEX_FILE, min_length=1, description="The index."
    )
    folder: Annotated[str, Input()] = Field(
        "", description="Only photos in this folder and those below."
    )
    similarity: float = Field(
        0.95, gt=0, le=1, description="Cosine from which on photos are similar; 1 = none are."
    )
    output: Annotated[Path | None, Output(".csv")] = Field(
        None, description="Also write both lists to this CSV."
    )
