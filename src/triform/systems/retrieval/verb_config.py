"""Settings of the verbs but `train`. Imports no torch.

A file of settings may be that of a training: each verb takes from it what it uses.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from triform.base.settings.config import Settings
from triform.base.settings.flags import as_group
from triform.base.settings.path_role import Input, Output, Storage
from triform.engine.config import DeviceName, NonEmptyTexts, SystemConfig, Texts
from triform.geometry.io.up_axis import UP_DESCRIPTION, Up
from triform.pretrained.named_models import FLAGS, check_named

DOCUMENTED_ENCODER = "eva02_large_patch14_448.mim_m38m_ft_in22k_in1k"
"""EVA-02 Large, the documented image encoder: 448 pixels, 1024 numbers per image."""


SMALL = "small"
"""The image encoder that is trained here from scratch."""
Recalls = tuple[int, ...]
SharedKeys = Mapping[tuple[str, str], str]
"""Group and name of a setting of the training -> name of a verb's setting of the same meaning."""
_LIBRARY: SharedKeys = {
    ("data", "library"): "library",
    ("data", "download_path"): "download_path",
}
_ENCODER: SharedKeys = {("model", "image_encoder"): "image_encoder"}


class VerbSettings(Settings):
    """Settings that may stand in the file of a training."""

    shared: ClassVar[SharedKeys] = {}

    @classmethod
    def adapt_file(cls, values: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
        """Take what the verb uses."""
        return split_shared_file(cls, values, cls.shared)

    @classmethod
    def check_file(
        cls,
        values: Mapping[str, Any],
        flag_values: Mapping[tuple[str, ...], Any],
        path: Path,
        *,
        is_explicit: bool,
    ) -> None:
        """Refuse encoders that the settings of a run name: they may be from a stranger.

        Raises:
            UserError: They name an encoder that does not come with Triform.
        """
        if path.name != "config.yaml" or not (path.parent / "training.log").exists():
            return
        for kind, flag in FLAGS.items():
            name = flag.removeprefix("--")
            if isinstance(values.get(name), str) and (name,) not in flag_values:
                check_named(values[name], kind, source=path, flag=flag)


class _ImageEncoderSettings(VerbSettings):
    """Settings of verbs that use a frozen image encoder."""

    image_encoder: Annotated[str, Input()] = Field(
        DOCUMENTED_ENCODER,
        description="timm name, open_clip:MODEL/WEIGHTS, or a folder that timm or open_clip saved.",
    )
    image_weights: Annotated[Path | None, Input()] = Field(
        None, description="Weights of the image encoder (.safetensors, .pth); none asks the hub."
    )
    image_batch_size: int = Field(64, ge=1, description="Images per step.")
    device: DeviceName = Field("auto", description="auto, cpu, gpu, cuda or cuda:N.")


class EmbedConfig(_ImageEncoderSettings):
    """Embed the images of a shape library once, into the `.npz` that training reads."""

    shared: ClassVar[SharedKeys] = {**_LIBRARY, **_ENCODER, ("data", "image_embeddings"): "output"}

    library: Annotated[str, Input()] = Field(
        "testdataset",
        min_length=1,
        description="A shape library, a known data set (`triform data list`), or a folder of "
        "images named ID_VIEW.png (or the folder above one called images).",
    )
    download_path: Annotated[str, Storage()] = Field("datasets", description="Download folder.")
    output: Annotated[Path, Output(".npz")] = Field(
        Path("image_embeddings.npz"), description="The file to write (.npz)."
    )
    views: int = Field(0, ge=0, description="Images that every object must have; 0 = any number.")
    overwrite: bool = Field(
        False, description="Replace a file that another encoder made or that is damaged."
    )


class SubmitConfig(_ImageEncoderSettings):
    """Write submission.csv for the four documented test folders with an ensemble."""

    shared: ClassVar[SharedKeys] = _ENCODER

    model: Annotated[Texts, Input()] = Field(
        (),
        description="MOE:PC, the two files of one training, or one checkpoint or run; several make "
        "an ensemble.",
    )
    data: Annotated[Path, Input()] = Field(
        Path("test"),
        description="Folder of queries_image_to_mesh, gallery_mesh_for_image, "
        "queries_mesh_to_image and gallery_image_for_mesh.",
    )
    output: Annotated[Path, Output(".csv")] = Field(
        Path("submission.csv"), description="The file to write (.csv)."
    )
    ensemble: Literal["embeddings", "similarities"] = Field(
        "embeddings",
        description="Average the embeddings (one space: same start), or the similarities.",
    )
    top_k: int = Field(3, ge=1, le=1000, description="Answers per query.")
    up: Up = Field(
        "auto",
        description="Upright axis of the meshes, as in `search`; auto leaves the axes as they are "
        "where a model of the original program reads them.",
    )

    @model_validator(mode="after")
    def _has_a_model(self) -> "SubmitConfig":
        if not self.model:
            raise ValueError("--model MOE:PC is needed, for example --model moe.pth:pc_encoder.pth")
        return self


class SearchConfig(VerbSettings):
    """Search meshes by an image, a mesh or a text; the gallery is built once and kept."""

    shared: ClassVar[SharedKeys] = {
        ("data", "library"): "gallery",
        ("data", "download_path"): "download_path",
        ("model", "text_encoder"): "text_encoder",
        **_ENCODER,
    }

    gallery: Annotated[Texts, Input()] = Field(
        (),
        description="Folders of meshes or of images, shape libraries, known names "
        "(`triform data list`); or a saved gallery.",
    )
    image: Annotated[Texts, Input()] = Field(
        (), description="Images to search with, or folders of them."
    )
    mesh: Annotated[Texts, Input()] = Field(
        (), description="Meshes to search with, or folders of them."
    )
    text: NonEmptyTexts = Field((), description="Texts to search with.")
    words: bool = Field(
        True,
        description="Compare the words of a text with names, folders, categories and captions too.",
    )
    top_k: int = Field(5, ge=1, le=10_000, description="Answers per query.")
    where: Texts = Field(
        (), description="Only entries with FIELD=VALUE in their record, such as category=chair."
    )
    checkpoint: Annotated[str | None, Input()] = Field(
        None,
        description="Trained weights (.pth, .safetensors or a run directory); by default the "
        "weights that come with the project.",
    )
    text_encoder: Annotated[str | None, Input()] = Field(
        None, description="Text encoder instead of the one named in the checkpoint."
    )
    image_encoder: Annotated[str | None, Input()] = Field(
        None, description="Frozen image encoder instead of the one named in the checkpoint."
    )
    image_weights: Annotated[Path | None, Input()] = Field(
        None, description="Weights of the frozen image encoder (.safetensors, .pth)."
    )
    up: Up = Field("auto", description=UP_DESCRIPTION)
    index: Annotated[str | None, Storage()] = Field(
        None,
        description="Location of the gallery: a file NAME.gallery or chroma://HOST:PORT/NAME; by "
        "default a file in the cache folder.",
    )
    views: bool = Field(
        True,
        description="Compare images with rendered views of every mesh, not only its points.",
    )
    rebuild: bool = Field(False, description="Build the gallery anew even if nothing changed.")
    sheet: Annotated[Path | None, Output(".png")] = Field(
        None, description="Save queries and answers as an image (PNG)."
    )
    download_path: Annotated[str, Storage()] = Field(
        "datasets", description="Folder of the data sets."
    )
    device: DeviceName = Field("auto", description="auto, cpu, gpu, cuda or cuda:N.")

    @model_validator(mode="after")
    def _has_a_gallery(self) -> "SearchConfig":
        if not self.gallery:
            raise ValueError("--gallery is needed: a folder of meshes, a library or a saved one")
        return self


class EvaluateConfig(VerbSettings):
    """Evaluate trained encoders: Recall@K and MRR in both directions, beside chance."""

    shared: ClassVar[SharedKeys] = {
        **_LIBRARY,
        ("data", "image_embeddings"): "image_embeddings",
        ("data", "max_samples"): "max_samples",
        ("model", "text_encoder"): "text_encoder",
        ("metrics", "k_list_for_recalls"): "k_list_for_recalls",
    }

    checkpoint: Annotated[str | None, Input()] = Field(
        None,
        description="Trained weights (.pth, .safetensors, run directory), or MOE:PC; by default "
        "the weights that come with the project.",
    )
    library: Annotated[str, Input()] = Field(
        "", description="Shape library or known data set; empty = the one of the training."
    )
    download_path: Annotated[str, Storage()] = Field(
        "datasets", description="Folder of the data sets."
    )
    image_embeddings: Annotated[str, Input()] = Field(
        "", description="The .npz, where the image encoder is frozen."
    )
    text_encoder: Annotated[str | None, Input()] = Field(
        None, description="Text encoder instead of the one named in the checkpoint."
    )
    split: Literal["test", "val", "heldout", "train", "all"] = Field(
        "heldout", description="Split of the objects; heldout = val and test together."
    )
    k_list_for_recalls: Recalls = Field((1, 3, 5, 10), min_length=1, description="The K.")
    max_samples: int = Field(0, ge=0, description="Largest number of objects; 0 = all.")
    baseline: bool = Field(
        True, description="Also evaluate the plain baseline (HOG and colour) on the same queries."
    )
    whole_gallery: bool = Field(
        False, description="Also search for the previews among all objects of the library."
    )
    hard: bool = Field(True, description="Also evaluate with corrupted images (small encoder).")
    device: DeviceName = Field("auto", description="auto, cpu, gpu, cuda or cuda:N.")
    seed: int = Field(42, ge=0, lt=2**63, description="Seed of the corruptions.")
    output: Annotated[Path | None, Output(".json")] = Field(
        None, description="Also write the results to this JSON file."
    )


def split_shared_file(
    settings_class: type[Settings], values: Mapping[str, Any], shared: SharedKeys
) -> tuple[dict[str, Any], list[str]]:
    """Split a file of settings into those of one verb and the names of those of the others.

    Args:
        settings_class: Settings of the verb.
        values: The file's, by group and name.
        shared: Settings in groups that the verb has under names of its own.
    """
    verbs = (EmbedConfig, SubmitConfig, SearchConfig, EvaluateConfig)
    others = {name for verb in verbs for name in verb.model_fields} | set(SystemConfig.model_fields)
    result: dict[str, Any] = {}
    unused: list[str] = []
    for key, value in values.items():
        field = settings_class.model_fields.get(key)
        if isinstance(value, Mapping) and key in _GROUPS and (field is None or shared):
            for name, one in value.items():
                target = shared.get((key, name))
                if target is None or (name in _ENCODER_NAMES and one in ("", SMALL)):
                    unused.append(f"{key}.{name}")
                elif target not in values:
                    result[target] = one
        elif field is None and key in others:
            unused.append(key)
        else:
            result[key] = value
    return result, unused


_GROUPS = {"data", "model", "metrics"} | {
    name for name, field in SystemConfig.model_fields.items() if as_group(field.annotation)
}
_ENCODER_NAMES = ("image_encoder", "text_encoder", "image_embeddings")
