"""Upload an export to the Hub; the token comes from the environment alone."""

from __future__ import annotations

import os
from pathlib import Path

from durian.errors import ConfigError, RunError, one_line, require


def check_push() -> None:
    """Refuse an upload for which a package or a token is missing, before anything is read.

    Raises:
        ConfigError: names it.
    """
    require("push-to-hub", "huggingface_hub")
    if not os.environ.get("HF_TOKEN"):
        raise ConfigError("push-to-hub needs a token; set HF_TOKEN in the environment")


def push(folder: Path, repo: str) -> str:
    """Upload a folder as a dataset, private where it is new; gives its address.

    Raises:
        RunError: the Hub refuses it, or cannot be reached.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    try:
        api = HfApi(token=os.environ["HF_TOKEN"])
        url = api.create_repo(repo, repo_type="dataset", private=True, exist_ok=True)
        api.upload_folder(
            repo_id=repo,
            folder_path=folder,
            repo_type="dataset",
            commit_message="Upload an export of Durian",
        )
    except (HfHubHTTPError, OfflineModeIsEnabled, OSError, ValueError) as error:
        raise RunError(
            f"push-to-hub: {repo}: {one_line(error)}; {folder} is written: upload it by "
            f"`hf upload {repo} {folder} --repo-type dataset`, or give the same command again"
        ) from error
    return str(url)
