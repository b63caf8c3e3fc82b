"""PostgreSQL refuses to run as root: who runs it then, and what that user can reach."""

from __future__ import annotations

import dataclasses
import os
import stat
import sys
from pathlib import Path
from typing import TypedDict

from contract.errors import EmbeddedServerError

_CANDIDATES = ("postgres", "_postgres", "nobody")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    name: str
    uid: int
    gid: int


class _RunAs(TypedDict, total=False):
    user: int
    group: int
    extra_groups: list[int]


def server_account(data_directory: Path) -> Account | None:
    """None means: run as ourselves. Data that exists stays with its owner, whoever was installed since."""
    if sys.platform == "win32" or os.geteuid() != 0:
        return None
    import pwd

    if data_directory.exists() and (owner := data_directory.stat()).st_uid != 0:
        try:
            name = pwd.getpwuid(owner.st_uid).pw_name
        except KeyError:
            name = str(owner.st_uid)
        return Account(name=name, uid=owner.st_uid, gid=owner.st_gid)
    for name in _CANDIDATES:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(name=name, uid=entry.pw_uid, gid=entry.pw_gid)
    raise EmbeddedServerError(
        "PostgreSQL does not run as root, and this machine has no user "
        f"{' or '.join(_CANDIDATES)} to run it as; add one (`useradd --system postgres`), or start as another user"
    )


def run_as(account: Account | None) -> _RunAs:
    """The arguments that make `subprocess` drop to this account."""
    if account is None:
        return {}
    return {"user": account.uid, "group": account.gid, "extra_groups": [account.gid]}


def drop_privileges(account: Account) -> None:
    if sys.platform == "win32":
        return
    os.setgroups([account.gid])
    os.setgid(account.gid)
    os.setuid(account.uid)


def give(path: Path, account: Account | None) -> None:
    if account is not None and sys.platform != "win32":
        os.chown(path, account.uid, account.gid)


def can_traverse(directory: Path, account: Account | None) -> bool:
    """Whether this account may pass through the directory and all above it, by their permission bits."""
    if account is None:
        return True
    directory = directory.resolve()
    return all(_may_enter(folder.stat(), account) for folder in (directory, *directory.parents) if folder.exists())


def _may_enter(folder: os.stat_result, account: Account) -> bool:
    if folder.st_uid == account.uid:
        return bool(folder.st_mode & stat.S_IXUSR)
    if folder.st_gid == account.gid:
        return bool(folder.st_mode & stat.S_IXGRP)
    return bool(folder.st_mode & stat.S_IXOTH)
