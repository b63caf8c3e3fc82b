"""Files of a dataset repository on the Hugging Face Hub, downloaded once and kept in the client's own cache."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path

import httpx2
import huggingface_hub
from huggingface_hub.errors import (
    CorruptedCacheException,
    GatedRepoError,
    HFValidationError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
    XetDownloadError,
)

from contract.errors import DataError
from contract.sources._files import Found, files_below


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Downloaded:
    files: list[Found]
    commit: str


def downloaded(
    source: str, *, repository: str, revision: str, patterns: Sequence[str], option: str, cache: Path | None
) -> Downloaded:
    """Shows the client's progress bar. Without a network, what was downloaded before is used."""
    # Asked for here and not left to the client, which reads it only once, when it is imported.
    endpoint = (os.environ.get("HF_ENDPOINT") or huggingface_hub.constants.ENDPOINT).rstrip("/")
    kept = Path(huggingface_hub.constants.HF_HUB_CACHE) if cache is None else cache
    looked_in = [f"{endpoint}/datasets/{repository} at {revision}", str(kept.absolute())]

    def refusal(problem: str, advice: str) -> DataError:
        return DataError(source, f"the dataset {repository} cannot be had: {problem}", advice, looked_in=looked_in)

    try:
        folder = huggingface_hub.snapshot_download(
            repository,
            repo_type="dataset",
            revision=revision,
            allow_patterns=list(patterns),
            cache_dir=kept,
            endpoint=endpoint,
        )
    except GatedRepoError as error:
        raise refusal(
            "its owner lets in only those who asked", "ask on its page, then run `hf auth login` or set HF_TOKEN"
        ) from error
    except RepositoryNotFoundError as error:
        raise refusal(
            "there is no such repository, or it is private",
            "check data.options.repository; for a private one run `hf auth login` or set HF_TOKEN",
        ) from error
    except RevisionNotFoundError as error:
        raise refusal("it has no such revision", "set data.options.revision to a branch, a tag or a commit") from error
    except HFValidationError as error:
        raise refusal("that is no name of a repository", "set data.options.repository to owner/name") from error
    except LocalEntryNotFoundError as error:
        raise refusal(
            "the Hub cannot be reached, and it was not downloaded before",
            "connect to the network once, or copy the cache folder from a machine that has it and set data.path to it",
        ) from error
    except (httpx2.HTTPError, CorruptedCacheException, XetDownloadError, OSError, ValueError) as error:
        # An OSError may be a full disk as well as a server that gives up half way: its own words say which.
        raise refusal(" ".join(str(error).split()), "try again; what has arrived is kept") from error
    files = [
        file
        for file in (files_below(source, Path(folder)) if Path(folder).is_dir() else [])
        if any(fnmatch(file.name, pattern) for pattern in patterns)
    ]
    if not files:
        raise refusal(f"no file in it is named like {', '.join(patterns)}", f"set data.options.{option} to its files")
    return Downloaded(files=files, commit=Path(folder).name)
