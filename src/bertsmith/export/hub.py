"""A model folder -> the Hugging Face Hub, and a look at what has arrived there."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from glob import escape
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from bertsmith.errors import BertsmithError, ConfigError
from bertsmith.inference.predictor import load
from bertsmith.progress import Reporter, Silent


@dataclass(frozen=True)
class Pushed:
    """Where a folder went, and its files there."""

    url: str
    files: tuple[str, ...]


def push(folder: Path, repo: str, *, public: bool = False, api: Any = None, reporter: Reporter = Silent()) -> Pushed:
    """Put a folder onto the Hub, once it was seen to open here; then compare what has arrived, file by file.

    Args:
        folder: a run folder, or an exported one. What a run keeps in `training/` stays here.
        repo: name/model; made if it is not there.
        public: whether a new one is for everyone to see.
        api: a `huggingface_hub.HfApi`; by default one with the user's own login and HF_ENDPOINT.
        reporter: told of progress.

    Raises:
        ConfigError: huggingface_hub is not installed, nobody is logged in, or `repo` is no such name.
        ModelFolderError: the folder does not open.
        BertsmithError: the Hub refused, or has other files than were sent.
    """
    if repo.count("/") != 1 or not all(repo.split("/")):
        raise ConfigError(f'--repo "{repo}" is no repository: write name/model')
    if find_spec("huggingface_hub") is None:
        raise ConfigError("the Hub needs huggingface_hub: pip install 'bertsmith[export]'")
    load(folder)
    files = _files(folder)
    if api is None:
        from huggingface_hub import HfApi, get_token

        if get_token() is None:
            raise ConfigError("no login for the Hub: set HF_TOKEN to a token that may write, or run `hf auth login`")
        api = HfApi()
    reporter.say(f"pushing {len(files)} files to {repo}")
    try:
        url = str(api.create_repo(repo, private=not public, exist_ok=True))
        api.upload_folder(
            repo_id=repo,
            folder_path=folder,
            allow_patterns=[escape(name) for name in files],
            commit_message="Model folder, made with bertsmith",
        )
        there = api.model_info(repo, files_metadata=True).siblings
    except Exception as error:  # its own have no common class with those of the HTTP client beneath
        said = str(error).strip() or type(error).__name__
        raise BertsmithError(
            f"{repo}: the Hub refused, or is out of reach: {said}. Run the same command again once that is mended."
        ) from None
    _compare(folder, files, {each.rfilename: each for each in there}, repo)
    return Pushed(url, tuple(files))


def _files(folder: Path) -> list[str]:
    """What is sent, by names relative to the folder: not what a run keeps for itself (checkpoints, settings with paths
    of this machine), nor what tools leave about."""
    paths = (path.relative_to(folder) for path in sorted(folder.rglob("*")) if path.is_file())
    return [
        path.as_posix()
        for path in paths
        if path.parts[0] != "training"
        and path.suffix != ".tmp"
        and not any(part.startswith(".") for part in path.parts)
    ]


def _compare(folder: Path, files: list[str], there: dict[str, Any], repo: str) -> None:
    """Raise unless each file is there with its size, and its content where the Hub tells a hash of it."""
    for name in files:
        arrived = there.get(name)
        size = (folder / name).stat().st_size
        if arrived is None or arrived.size != size:
            found = "is not there" if arrived is None else f"has {arrived.size} bytes there and {size} here"
            raise BertsmithError(f"{repo}: {name} {found}. Push again.")
        told = arrived.lfs.sha256 if arrived.lfs is not None else None
        if told is not None and told != _sha256(folder / name):
            raise BertsmithError(f"{repo}: {name} arrived damaged. Push again.")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
