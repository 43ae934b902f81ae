"""Files of a model hub: from the local copy where there is one, downloaded where that is possible.

A hub that cannot be reached is found out within seconds, by one question with a time limit,
before anything that tries again and again is started.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from triform.base.errors import UserError

PROBE_SECONDS = 8.0
ALTERNATIVES = (
    "use minilm (needs no download), or name a folder that holds the model, "
    "or run once where there is a network"
)


def hub_folder(
    repo: str,
    patterns: Sequence[str],
    required: Sequence[str],
    *,
    kind: str = "text encoder",
    alternatives: str = ALTERNATIVES,
) -> Path:
    """A folder with a model's files.

    Args:
        repo: Name on the hub, `organisation/model` or `model`.
        patterns: File names to bring, with `*`.
        required: File names without which an older local copy does not count.
        kind: What the model is, for messages.
        alternatives: What to do where it cannot be had, for messages.

    Raises:
        UserError: The hub cannot be reached, has no such model, or wants a login.
    """
    from huggingface_hub import HfApi, constants, snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        local = Path(snapshot_download(repo, allow_patterns=list(patterns), local_files_only=True))
        if all((local / name).exists() for name in required):
            return local
    except LocalEntryNotFoundError:
        pass
    except ValueError as error:  # the hub's own check of the name
        refuse(repo, error, kind, alternatives)
    if constants.HF_HUB_OFFLINE or os.environ.get("TRANSFORMERS_OFFLINE") == "1":
        raise UserError(f"{repo} is not on this machine and HF_HUB_OFFLINE is set: {alternatives}")
    try:
        HfApi().model_info(repo, timeout=PROBE_SECONDS)
        return Path(snapshot_download(repo, allow_patterns=list(patterns)))
    except (KeyboardInterrupt, SystemExit):
        raise
    except Exception as error:  # the hub client raises what its transport raises
        refuse(repo, error, kind, alternatives)


def refuse(
    repo: str, error: Exception, kind: str = "text encoder", alternatives: str = ALTERNATIVES
) -> NoReturn:
    """Raise the one line that says why a model could not be had and what to do instead."""
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        RepositoryNotFoundError,
    )

    match error:
        case GatedRepoError():
            reason = "its owner wants a login: `hf auth login`"
        case RepositoryNotFoundError():
            reason = "the hub has no model of this name, or it is private: `hf auth login`"
        case HFValidationError():
            reason = "this is no name that a hub could have"
        case HfHubHTTPError():
            reason = f"the hub answered {' '.join(str(error).split())[:120]}"
        case _:
            reason = f"the hub cannot be reached ({type(error).__name__})"
    raise UserError(f"{kind} {repo!r}: {reason}; {alternatives}") from error
