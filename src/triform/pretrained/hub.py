"""Files of the Hugging Face hub: from the local cache, else downloaded.

One request with a time limit finds an unreachable hub within seconds, before the client starts
its retries.
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
    """Download the files of a model, or take them from the local cache.

    Args:
        repo: Name on the hub, `organisation/model` or `model`.
        patterns: Names of the files to download, with `*`.
        required: Names of files that a cached copy must have.
        kind: What the model is, for messages.
        alternatives: What the user can do if that fails, for messages.

    Returns:
        The folder that holds the files.

    Raises:
        UserError: The hub cannot be reached, has no such model, or requires a login.
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


def hub_file(
    name: str,
    repo: str,
    names: Sequence[str],
    *,
    patterns: Sequence[str] = (),
    kind: str = "text encoder",
    alternatives: str = ALTERNATIVES,
) -> Path:
    """The first of several files that a model on the hub has.

    Args:
        name: Of the model, as the user gave it, for messages.
        repo: Name on the hub.
        names: Names of the files, the preferred one first.
        patterns: Names of further files to download, with `*`.
        kind: What the model is, for messages.
        alternatives: What the user can do if that fails, for messages.

    Raises:
        UserError: As `hub_folder`, or the model has none of the files.
    """
    folder = hub_folder(
        repo, [*names, *patterns], required=names[:1], kind=kind, alternatives=alternatives
    )
    found = next((folder / file for file in names if (folder / file).is_file()), None)
    if found is None:
        raise UserError(f"{kind} {name!r}: {repo} holds none of {', '.join(names)}")
    return found


def refuse(
    repo: str, error: Exception, kind: str = "text encoder", alternatives: str = ALTERNATIVES
) -> NoReturn:
    """Raise a `UserError` with the reason why a download failed and what to do instead."""
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
