"""The kinds of value a key can hold, and the base of every section."""

from __future__ import annotations

import dataclasses
import re
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, StringConstraints


class Section(BaseModel):
    # Strict: `num_epochs: true` and `port: "5432"` are slips, and guessing at slips hides them.
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False, hide_input_in_errors=True)


@dataclasses.dataclass(frozen=True, slots=True)
class Wording:
    """What a problem and the reference say this value must be, where its type alone says too little."""

    text: str


Count = Annotated[int, Field(ge=1)]
CountOrZero = Annotated[int, Field(ge=0)]
BigSeed = Annotated[int, Field(ge=0, le=2**63 - 1)]
Port = Annotated[int, Field(ge=1, le=65535)]
Seconds = Annotated[float, Field(gt=0)]
WholeSeconds = Annotated[int, Field(ge=1, le=30 * 24 * 3600)]
Positive = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(ge=0, le=1)]
ShareBelowOne = Annotated[float, Field(ge=0, lt=1)]
OpenShare = Annotated[float, Field(gt=0, lt=1)]

Text = Annotated[str, StringConstraints(min_length=1, max_length=1000), Wording("text, not empty")]
Host = Annotated[
    str,
    StringConstraints(min_length=1, max_length=255, pattern=r"^[^\s@]+$"),
    Wording("a host name or address without spaces"),
]
DatabaseName = Annotated[
    str, StringConstraints(min_length=1, max_length=63, pattern=r"^\S+$"), Wording("a name of at most 63 letters")
]
Identifier = Annotated[
    str,
    StringConstraints(max_length=63, pattern=r"^[A-Za-z][A-Za-z0-9_.-]*$"),
    Wording("a name of letters, digits, `_`, `-` and `.` that starts with a letter"),
]
Hours = Annotated[
    str,
    StringConstraints(pattern=r"^([01]?[0-9]|2[0-3])(:[0-5][0-9])?-([01]?[0-9]|2[0-3])(:[0-5][0-9])?$"),
    Wording("a span of hours such as 22:00-06:00 or 22-6"),
]
RepositoryId = Annotated[
    str,
    StringConstraints(max_length=200, pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*/[A-Za-z0-9][A-Za-z0-9_.-]*$"),
    Wording("a repository such as `owner/name`"),
]
Device = Annotated[
    str,
    StringConstraints(pattern=r"^(auto|cpu|mps|cuda(:[0-9]+)?|xpu(:[0-9]+)?)$"),
    Wording("auto, cpu, mps, or cuda or xpu with or without a number such as cuda:0"),
]


def _is_postgresql_url(url: SecretStr) -> SecretStr:
    if not re.match(r"^postgres(ql)?(\+psycopg)?://\S+$", url.get_secret_value()):
        # The value stays out of the message: a URL often carries a password.
        raise ValueError("must be a URL that starts with postgresql:// and has no spaces")
    return url


def _is_certificate(certificate: str) -> str:
    if "PRIVATE KEY" in certificate:
        raise ValueError("holds a private key; put the certificate alone here, and keep the key to yourself")
    if "-----BEGIN" in certificate and "-----END CERTIFICATE-----" not in certificate:
        raise ValueError("starts like a PEM certificate but has no END CERTIFICATE line; was it cut short?")
    return certificate


DatabaseUrl = Annotated[SecretStr, AfterValidator(_is_postgresql_url), Wording("a URL that starts with postgresql://")]
Certificate = Annotated[
    str,
    StringConstraints(min_length=1, max_length=65536),
    AfterValidator(_is_certificate),
    Wording("PEM text, the path of a PEM file, or the word system"),
]
