"""Settings of the verbs of Shap-E besides training. Imports no torch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from triform.base.settings.config import Settings
from triform.base.settings.path_role import Input, Output, Storage
from triform.engine.config import DeviceName, NonEmptyTexts, TrainedVerbConfig
from triform.tasks.shape_generation.config import MeshOutputConfig, PromptSetsConfig

Guidance = Annotated[float, Field(ge=0, le=100)]
CHECKPOINT = (
    "Trained weights (.pth, .safetensors or a run directory), also those that `triform shap_e "
    "convert` made of official ones; by default those of the newest run in `output`, or else those "
    "that ship."
)
TRANSMITTER = (
    "Weights of encoder and decoder: those of a joint run, or transmitter.pt or vector_decoder.pt "
    "as `triform shap_e convert` made them; by default those in the checkpoint."
)


class SamplingConfig(TrainedVerbConfig):
    """Sampling of latents."""

    checkpoint: Annotated[str | None, Input()] = Field(None, description=CHECKPOINT)
    transmitter: Annotated[Path | None, Input()] = Field(None, description=TRANSMITTER)
    guidance_scale: Guidance | None = Field(
        None,
        description="Guidance by the condition; 1 = off; none = as the weights have it: 15 of "
        "captions and 3 of images where they do not say.",
    )
    karras_steps: int = Field(64, ge=2, le=1000, description="Steps of Heun's sampler.")
    sigma_min: float = Field(1e-3, gt=0, description="Least noise level.")
    sigma_max: float = Field(160.0, gt=0, description="Largest noise level.")
    text_encoder: Annotated[str | None, Input()] = Field(
        None, description="Text encoder instead of the checkpoint's."
    )
    image_encoder: Annotated[str | None, Input()] = Field(
        None, description="Image encoder instead of the checkpoint's."
    )
    batch_size: int = Field(4, ge=1, description="Shapes at a time.")
    grid_size: int = Field(
        0, ge=0, le=512, description="Samples along each side of a mesh's grid; 0 = as trained."
    )


class GenerateConfig(SamplingConfig, MeshOutputConfig):
    """Generate coloured 3D models from sentences or images."""

    prompt: NonEmptyTexts = Field(
        (), description="Sentences (text300M); none = the null condition."
    )
    image: Annotated[tuple[Path, ...], Input()] = Field(
        (), description="Images (image300M); where they have alpha, the background is removed."
    )
    num_samples: int = Field(1, ge=1, le=10_000, description="Shapes per prompt or image.")
    output: Annotated[str, Output(".glb", or_folder=True)] = Field(
        "shape.glb", description="File, or folder for several shapes; the suffix is the format."
    )
    format: tuple[Literal["glb", "obj", "ply"], ...] = Field(
        (), description="Formats to save; none means the suffix of output, or glb."
    )
    preview: Literal["none", "png", "gif"] = Field(
        "png", description="Preview beside each file: an image, or a turning GIF."
    )
    render: Literal["mesh", "nerf"] = Field(
        "mesh", description="Previews of the mesh, or by volume rendering."
    )
    preview_size: int = Field(128, ge=16, le=1024, description="Pixels of a preview.")


class EncodeConfig(Settings):
    """Encode the objects of a shape library into latents, to train on.

    Latents that are there already, made by the same encoder, are kept.
    """

    positional = ("library",)

    library: Annotated[str, Input()] = Field(
        min_length=1,
        description="The library: a folder, a URL that fsspec supports, or a known data set "
        "(`triform data list`), which is prepared.",
    )
    download_path: Annotated[str, Storage()] = Field(
        "datasets", description="Download folder of data sets."
    )
    transmitter: Annotated[str | None, Input()] = Field(
        None, description=TRANSMITTER.partition(";")[0] + "."
    )
    output: Annotated[Path | None, Output()] = Field(
        None, description="Folder of the latents; none = `latents` in the library."
    )
    number_format: Literal["float32", "float16", "int8"] = Field(
        "float16", description="Numbers in the files: 4, 2 or 1 MiB per object at full size."
    )
    batch_size: int = Field(8, ge=1, description="Objects at a time.")
    max_samples: int = Field(0, ge=0, description="Encode only the first objects; 0 = all.")
    device: DeviceName = Field("auto", description="auto, cpu, gpu, cuda or cuda:N.")
    seed: int = Field(42, ge=0, lt=2**63, description="Seed of the orders of points and views.")


class EvaluateConfig(SamplingConfig, PromptSetsConfig):
    """Measure the held-out loss, retrieval by latents, and reconstruction where there is a decoder.

    Latents are sampled for held-out conditions, and the nearest true latents are looked up.
    """

    data_dir: Annotated[str | None, Input()] = Field(
        None, description="Library; none = that of the training."
    )
    latents_dir: Annotated[str | None, Input()] = Field(
        None, description="Latents; none = those of the training."
    )
    split: Literal["val", "test", "train"] = Field("test", description="Objects to measure on.")
    max_samples: int = Field(64, ge=1, description="Objects, at most.")
    before: Annotated[str | None, Input()] = Field(
        None, description="Weights before fine-tuning, for a row of their own in the sheet."
    )
    output: Annotated[Path | None, Output()] = Field(
        None, description="Folder for report.json and sheet.png."
    )


class ConvertConfig(Settings):
    """Convert weights between Shap-E's own files, diffusers' and ours, without any loss.

    Files with an official name have to have the official checksum. Nothing is unpickled.
    """

    positional = ("weights", "output")

    weights: Annotated[Path, Input()] = Field(
        description="text_cond.pt, image_cond.pt, transmitter.pt or vector_decoder.pt of Shap-E; a "
        "folder `prior` of diffusers; or our .safetensors or .pth."
    )
    output: Annotated[Path, Output(".safetensors", or_folder=True)] = Field(
        description="Our .safetensors, Shap-E's .pt, or a folder for diffusers: by its suffix."
    )
    original_config: Annotated[Path | None, Input()] = Field(
        None,
        description="transmitter_config.yaml of Shap-E, which transmitter.pt needs: not all of "
        "its settings follow from the tensors.",
    )
    heads: int = Field(
        0, ge=0, description="Attention heads of a prior; 0 = 16 (text) or 8 (image)."
    )
