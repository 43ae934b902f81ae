"""The settings of `embed`, `submit` and `search`. Imports no torch."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from triform.base.config import Settings
from triform.engine.config import DeviceName

DOCUMENTED_ENCODER = "eva02_large_patch14_448.mim_m38m_ft_in22k_in1k"
"""EVA-02 Large, the documented image encoder: 448 pixels, 1024 numbers per picture."""


def _as_tuple(value: object) -> object:
    """A single text stands for a list of one."""
    return (value,) if isinstance(value, str) else value


Texts = Annotated[tuple[str, ...], BeforeValidator(_as_tuple)]


class _WithImageEncoder(Settings):
    """What every verb that reads pictures with somebody else's network can be told."""

    image_encoder: str = Field(
        DOCUMENTED_ENCODER,
        description="timm name, open_clip:MODEL/WEIGHTS, or a folder that timm or open_clip saved.",
    )
    image_weights: Path | None = Field(
        None, description="Weights of the image encoder (.safetensors, .pth); none asks the hub."
    )
    image_batch_size: int = Field(64, ge=1, description="Pictures per step.")
    device: DeviceName = Field("auto", description="auto, cpu, gpu, cuda or cuda:N.")


class EmbedConfig(_WithImageEncoder):
    """Embed the pictures of a shape library once, into the `.npz` that training reads."""

    library: str = Field(
        "testdataset",
        min_length=1,
        description="A shape library, a known data set (`triform data list`), or a folder of "
        "pictures named ID_VIEW.png (or the folder above one called images).",
    )
    download_path: str = Field("datasets", description="Folder that data sets are brought to.")
    output: Path = Field(Path("image_embeddings.npz"), description="The file to write (.npz).")
    views: int = Field(0, ge=0, description="Pictures that every object must have; 0 = any number.")
    overwrite: bool = Field(
        False, description="Write the file anew where another encoder made it or it is damaged."
    )


class SubmitConfig(_WithImageEncoder):
    """Answer the four documented test folders with an ensemble; writes submission.csv."""

    model: Texts = Field(
        (),
        description="MOE:PC, the two files of one training, or one checkpoint; several make an "
        "ensemble.",
    )
    data: Path = Field(
        Path("test"),
        description="Folder of queries_image_to_mesh, gallery_mesh_for_image, "
        "queries_mesh_to_image and gallery_image_for_mesh.",
    )
    output: Path = Field(Path("submission.csv"), description="The file to write (.csv).")
    ensemble: Literal["embeddings", "similarities"] = Field(
        "embeddings",
        description="Average the embeddings (one space: same start), or the similarities.",
    )
    top_k: int = Field(3, ge=1, le=1000, description="Answers per query.")

    @model_validator(mode="after")
    def _has_a_model(self) -> "SubmitConfig":
        if not self.model:
            raise ValueError("--model MOE:PC is needed, for example --model moe.pth:pc_encoder.pth")
        return self


class SearchConfig(Settings):
    """Search meshes by a picture, a mesh or a sentence; the gallery is built once and kept."""

    gallery: Texts = Field(
        (),
        description="Folders of meshes or of pictures, shape libraries, known names "
        "(`triform data list`); or a gallery that was built before.",
    )
    picture: Texts = Field((), description="Pictures to search with.")
    mesh: Texts = Field((), description="Meshes to search with.")
    text: Texts = Field((), description="Sentences to search with.")
    top_k: int = Field(5, ge=1, le=10_000, description="Answers per query.")
    where: Texts = Field(
        (), description="Only what has FIELD=VALUE in its record, such as category=chair."
    )
    checkpoint: str | None = Field(
        None,
        description="Trained weights (.pth, .safetensors or a run directory); where not given, "
        "the weights that come with the project.",
    )
    text_encoder: str | None = Field(
        None, description="Text encoder instead of the one named in the checkpoint."
    )
    image_encoder: str | None = Field(
        None, description="Frozen image encoder instead of the one named in the checkpoint."
    )
    image_weights: Path | None = Field(
        None, description="Weights of the frozen image encoder (.safetensors, .pth)."
    )
    index: str | None = Field(
        None,
        description="Where the gallery is kept: a file, a folder FOLDER.chroma, or "
        "chroma://HOST:PORT/NAME; none means the cache folder.",
    )
    views: bool = Field(
        True, description="Compare pictures with pictures of every mesh too, not its points alone."
    )
    rebuild: bool = Field(False, description="Build the gallery anew even where nothing changed.")
    sheet: Path | None = Field(None, description="Save queries and answers as a picture (PNG).")
    download_path: str = Field("datasets", description="Folder of the data sets.")
    device: DeviceName = Field("auto", description="auto, cpu, gpu, cuda or cuda:N.")

    @model_validator(mode="after")
    def _has_a_gallery(self) -> "SearchConfig":
        if not self.gallery:
            raise ValueError("--gallery is needed: a folder of meshes, a library or a saved one")
        return self
