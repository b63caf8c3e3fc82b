"""A model repository on the Hugging Face Hub, through its own client: made, written to, read from.

There are two kinds of trouble: what somebody has to mend (HubRefused), and what passes (HubAway).
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx2
import huggingface_hub
from huggingface_hub import CommitOperationAdd, HfApi
from huggingface_hub.errors import (
    EntryNotFoundError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
    XetDownloadError,
)
from huggingface_hub.utils.tqdm import disable_progress_bars

from contract.errors import HubAway, HubRefused

_PASSES = (408, 409, 412, 425, 429)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    oid: str
    url: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Repository:
    """Without a token, that of `hf auth login` is taken."""

    repo_id: str
    token: str | None = dataclasses.field(default=None, repr=False)
    is_private: bool = False

    def open_for_writing(self) -> None:
        """Makes it where it is missing."""
        with self._in_our_words():
            api = self._api()
            api.create_repo(self.repo_id, private=self.is_private, exist_ok=True)
            api.auth_check(self.repo_id, write=True)

    def commit(self, files: Mapping[str, bytes], *, message: str) -> Commit:
        """All of them or none. Files of the repository that are not among them stay."""
        operations = [CommitOperationAdd(path_in_repo=name, path_or_fileobj=content) for name, content in files.items()]
        # Bars would be drawn across the coordinator's own screen.
        with self._in_our_words(), disable_progress_bars():
            made = self._api().create_commit(self.repo_id, operations, commit_message=message)
        return Commit(oid=made.oid, url=made.commit_url)

    def file(self, name: str, *, revision: str | None = None) -> Path:
        """Downloaded once, and kept in the client's own cache."""
        with self._in_our_words():
            found = huggingface_hub.hf_hub_download(
                self.repo_id, name, revision=revision, token=self.token, endpoint=_endpoint()
            )
        return Path(found)

    def _api(self) -> HfApi:
        return HfApi(endpoint=_endpoint(), token=self.token)

    @contextmanager
    def _in_our_words(self) -> Iterator[None]:
        try:
            yield
        except RevisionNotFoundError as error:
            raise HubRefused(
                f"the repository {self.repo_id} has no such revision; name a branch or a commit"
            ) from error
        except LocalEntryNotFoundError as error:
            raise HubAway(f"the Hub cannot be reached, and {self.repo_id} was not downloaded before") from error
        except EntryNotFoundError as error:
            raise HubRefused(f"{self.repo_id} holds no model of Barnraise: {_first_line(error)}") from error
        except RepositoryNotFoundError as error:
            raise HubRefused(
                f"the Hub knows no repository {self.repo_id}, or not for this token; check huggingface.repo_id, and "
                "that the token is one of its owner with the right to write"
            ) from error
        except HFValidationError as error:
            raise HubRefused(f"{self.repo_id} is no name of a repository; it is written as owner/name") from error
        except HfHubHTTPError as error:
            status = error.response.status_code
            if status >= 500 or status in _PASSES:
                raise HubAway(f"the Hub does not take it at present (status {status})") from error
            if status in (401, 403):
                raise HubRefused(
                    f"the Hub does not let this token write to {self.repo_id}; make one with the right to write, and "
                    "set huggingface.token or HF_TOKEN"
                ) from error
            raise HubRefused(f"the Hub refused ({self.repo_id}): {_first_line(error)}") from error
        except (httpx2.HTTPError, XetDownloadError, OSError, RuntimeError) as error:
            # hf_xet, which carries the bytes, raises RuntimeError for whatever happens on its way.
            raise HubAway(f"the Hub cannot be reached: {_first_line(_root(error))}") from error


def _endpoint() -> str:
    # Asked for here and not left to the client, which reads it only once, when it is imported.
    return (os.environ.get("HF_ENDPOINT") or huggingface_hub.constants.ENDPOINT).rstrip("/")


def _root(error: BaseException) -> BaseException:
    """What happened, and not that an upload failed by it."""
    return error if error.__cause__ is None else _root(error.__cause__)


def _first_line(error: BaseException) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
