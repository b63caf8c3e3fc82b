"""The invitation, from a file or from the one-line token."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from contract.config import Config, load_config, parse_config
from contract.errors import InvitationError
from contract.invitation import decode_token


def load_invitation(config_file: Path | None, token: str | None, *, overrides: Sequence[str] = ()) -> Config:
    if token is None:
        config = load_config(config_file, overrides=overrides)
        if config.database.embedded and config.database.password is None:
            raise InvitationError(
                "this is the instructor's configuration, no invitation; a volunteer's file comes from "
                "`coordinator invite NAME`, and `worker join --config invitations/NAME.yaml` takes it"
            )
        return config
    if config_file is not None:
        raise click.UsageError("give a file or a token, not both")
    return parse_config(decode_token(token), source="the join token", overrides=overrides)
