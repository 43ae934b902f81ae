"""Names of pretrained models that a file may select; all others need the user's own flag.

A checkpoint, the settings of a run or a shared weights file name the encoder that they were
trained with. Loading a name reads a folder or downloads a repository, so a file may select only
the names below: they ship, come as a package, or are published weights that this project uses.
Every other name must come from the command line.

Imports no torch: settings use it too.
"""

from typing import Final, Literal

from triform.base.errors import UserError
from triform.base.logging import get_logger
from triform.base.printable import shorten

Kind = Literal["text encoder", "image encoder"]
TEXT_ENCODER: Final = "text encoder"
IMAGE_ENCODER: Final = "image encoder"
TEXT_ENCODERS = (
    "minilm",
    "use-multilingual",
    "clip",
    "ViT-B-32/openai",
    "ViT-B-16/openai",
    "ViT-L-14/openai",
)
"""all-MiniLM-L6-v2 and Universal Sentence Encoder as packages, and OpenAI's CLIP."""
IMAGE_ENCODERS = (
    *("small", "tf_efficientnet_lite0", "tf_efficientnet_lite1", "tf_efficientnet_lite2"),
    *("tf_efficientnet_lite0.in1k", "tf_efficientnet_lite1.in1k", "tf_efficientnet_lite2.in1k"),
    *("resnet18", "resnet34", "resnet50", "resnet101", "resnet152"),
    *("eva02_large_patch14_448.mim_m38m_ft_in22k_in1k", "open_clip:ViT-B-32/openai"),
    "open_clip:ViT-L-14/openai",
)
"""Networks that come as a package, those of the documented systems, and OpenAI's CLIP."""
KNOWN: dict[Kind, tuple[str, ...]] = {TEXT_ENCODER: TEXT_ENCODERS, IMAGE_ENCODER: IMAGE_ENCODERS}
FLAGS: dict[Kind, str] = {TEXT_ENCODER: "--text_encoder", IMAGE_ENCODER: "--image_encoder"}
RANDOM = "random:"
MAX_NAME = 120
"""Characters of a refused name that a message shows."""

logger = get_logger(__name__)


def is_known(name: str, kind: Kind) -> bool:
    """Whether a file may name this model: it is in the list, or has random weights."""
    bare_name = name.removeprefix(RANDOM)
    if name.startswith(RANDOM):  # builds a network of timm and reads nothing
        return all(letter.isalnum() or letter in "_." for letter in bare_name)
    return name.removeprefix("timm:") in KNOWN[kind]


def select_model(
    user_choice: str | None, named: str, kind: Kind, *, source: object, flag: str | None = None
) -> str:
    """Select the model to load: the user's, or a file's if a file may name it.

    Args:
        user_choice: Value of the user's flag; None or "" if not given.
        named: Name in the file.
        kind: Kind of model.
        source: The file, for messages.
        flag: The user's flag, if it is not the usual one.

    Raises:
        UserError: The file names a folder, a repository or anything else that is not known.
    """
    flag = flag or FLAGS[kind]
    if user_choice:
        logger.info("%s %r: to be loaded as %s says", kind, user_choice, flag)
        return user_choice
    check_named(named, kind, source=source, flag=flag)
    logger.info("%s %r: to be loaded as %s says", kind, named, source)
    return named


def check_named(named: str, kind: Kind, *, source: object, flag: str) -> None:
    """Refuse a name in a file that only the user may give.

    Raises:
        UserError: It is not known.
    """
    if is_known(named, kind):
        return
    short_name = shorten(named, MAX_NAME)
    raise UserError(
        f"{source}: names the {kind} {short_name!r}, which does not come with Triform and is not "
        f"loaded because a file says so; where you trust it, name it yourself with {flag}"
    )


def check_named_file(named: str, *, source: object, flag: str) -> None:
    """Refuse a file of weights that another file names.

    Raises:
        UserError: A file is named.
    """
    if named:
        short_name = shorten(named, MAX_NAME)
        raise UserError(
            f"{source}: names the file of weights {short_name!r}, which is not loaded because "
            f"another file says so; where you trust it, name it yourself with {flag}"
        )
