"""Which names of pretrained models a file may ask for, and which only the user may.

A checkpoint, the settings of somebody's run or a shared weights file name the encoder that they
were trained with. To load what is named is to read a folder or to fetch a repository, so that a
file decides only among the names below: they ship, come as a package, or are published weights
that this project chose. Every other name has to come from the command line.

Imports no torch: settings use it too.
"""

from typing import Final, Literal

from triform.base.errors import UserError
from triform.base.logging import get_logger

Kind = Literal["text encoder", "image encoder"]
TEXT_ENCODER: Final = "text encoder"
IMAGE_ENCODER: Final = "image encoder"
TEXT_ENCODERS = (
    "minilm",
    "clip",
    "ViT-B-32/openai",
    "ViT-B-16/openai",
    "ViT-L-14/openai",
)
"""all-MiniLM-L6-v2 as a package, and OpenAI's CLIP."""
IMAGE_ENCODERS = (
    "small",
    "tf_efficientnet_lite0",
    "tf_efficientnet_lite1",
    "tf_efficientnet_lite2",
    "tf_efficientnet_lite0.in1k",
    "tf_efficientnet_lite1.in1k",
    "tf_efficientnet_lite2.in1k",
    "resnet18",
    "resnet34",
    "resnet50",
    "resnet101",
    "resnet152",
    "eva02_large_patch14_448.mim_m38m_ft_in22k_in1k",
    "open_clip:ViT-B-32/openai",
    "open_clip:ViT-L-14/openai",
)
"""Networks that come as a package, those of the documented systems, and OpenAI's CLIP."""
KNOWN: dict[Kind, tuple[str, ...]] = {
    TEXT_ENCODER: TEXT_ENCODERS,
    IMAGE_ENCODER: IMAGE_ENCODERS,
}
FLAGS: dict[Kind, str] = {TEXT_ENCODER: "--text_encoder", IMAGE_ENCODER: "--image_encoder"}
RANDOM = "random:"
LONGEST_NAME = 120
"""Letters of a refused name that a message shows."""

logger = get_logger(__name__)


def is_known(name: str, kind: Kind) -> bool:
    """Whether a file may name this model: it ships, is ours to fetch, or has random weights."""
    plain = name.removeprefix(RANDOM)
    if name.startswith(RANDOM):  # builds a network of timm and reads nothing
        return all(letter.isalnum() or letter in "_." for letter in plain)
    return name.removeprefix("timm:") in KNOWN[kind]


def select_model(
    given: str | None, named: str, kind: Kind, *, source: object, flag: str | None = None
) -> str:
    """The name of the model to load: the user's, or a file's where a file may name it.

    Args:
        given: What the user's own flag says; None or "" where it was left out.
        named: What the file says.
        kind: What it is.
        source: The file, for messages.
        flag: The user's flag, where it is not the usual one.

    Raises:
        UserError: The file names a folder, a repository or anything else that is not known.
    """
    flag = flag or FLAGS[kind]
    if given:
        logger.info("%s %r: to be loaded as %s says", kind, given, flag)
        return given
    check_named(named, kind, source=source, flag=flag)
    logger.info("%s %r: to be loaded as %s says", kind, named, source)
    return named


def check_named(named: str, kind: Kind, *, source: object, flag: str) -> None:
    """Refuse a name out of a file that only the user may give.

    Raises:
        UserError: It is not among the known ones.
    """
    if is_known(named, kind):
        return
    shown = named if len(named) <= LONGEST_NAME else f"{named[:LONGEST_NAME]}..."
    raise UserError(
        f"{source}: names the {kind} {shown!r}, which does not come with Triform and is not "
        f"loaded because a file says so; where you trust it, name it yourself with {flag}"
    )


def check_named_file(named: str, *, source: object, flag: str) -> None:
    """Refuse a file of weights that another file names.

    Raises:
        UserError: A file is named.
    """
    if named:
        shown = named if len(named) <= LONGEST_NAME else f"{named[:LONGEST_NAME]}..."
        raise UserError(
            f"{source}: names the file of weights {shown!r}, which is not loaded because another "
            f"file says so; where you trust it, name it yourself with {flag}"
        )
