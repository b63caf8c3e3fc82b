"""The model card: what this is, what it learnt from, how, and who raised it. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Final

from huggingface_hub import ModelCardData

_MOST_NAMES: Final = 500


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """`pictures` are names of files beside the card, with what they show."""

    repo_id: str
    run: str
    description: str
    license: str | None
    workload: str
    workload_options: Mapping[str, Any]
    data: Mapping[str, Any]
    mode: str
    training: Mapping[str, Any]
    version: int
    num_parameters: int
    num_gradients: int
    num_samples: int
    num_bytes: int
    num_volunteers: int
    credits: Sequence[tuple[str, int]]
    metrics: Mapping[str, float]
    parent: str | None
    began: str | None
    pictures: Mapping[str, str]

    def text(self) -> str:
        parts = [f"---\n{self._header()}\n---\n", f"# {self.run}\n"]
        if self.description:
            parts.append(f"{_plain(self.description)}\n")
        parts.append(
            "This model was raised by volunteers who lent their computers, with Barnraise: each computed gradients on "
            "a part of the data, and a coordinator made them into versions of one model.\n"
        )
        for name, shows in self.pictures.items():
            parts.append(f"![{shows}]({name})\n")
        parts.append(_table("What it is", self._what()))
        if self.metrics:
            found = {name.replace("_", " "): f"{value:.4g}" for name, value in self.metrics.items()}
            parts.append(_table("How good it is, on data that it did not learn from", found))
        parts.append(self._people())
        parts.append(self._use())
        return "\n".join(parts)

    def _header(self) -> str:
        data = ModelCardData(
            license=self.license,
            library_name="barnraise",
            tags=["barnraise", "volunteer-computing", self.workload],
            model_name=self.run,
        )
        return str(data.to_yaml()).strip()

    def _what(self) -> dict[str, str]:
        training = self.training
        what = {
            "workload": self.workload + _options(self.workload_options),
            "parameters": f"{self.num_parameters:,}",
            "data": f"{self.data['name']}{_options(self.data['options'])}, {self.data['num_samples']:,} samples",
            "version": f"{self.version:,}",
            "mode": self.mode,
            "aggregation rule": training["rule"] + _options(training["rule_options"]),
            "codec of the gradients": training["codec"] + _options(training["codec_options"]),
        }
        if self.began is not None:
            what["began"] = self.began
        if self.parent is not None:
            what["began with the weights of"] = self.parent
        return what

    def _people(self) -> str:
        people = _counted(self.num_volunteers, "volunteer")
        lines = [
            "## Who raised it\n",
            f"{people} delivered {_counted(self.num_gradients, 'gradient')} of {self.num_samples:,} samples, "
            f"{self.num_bytes / 1e6:,.1f} MB in all.\n",
        ]
        if self.credits:
            named = self.credits[:_MOST_NAMES]
            lines += ["Among them, named because they asked for it:\n"]
            lines += [f"- {_plain(name)} ({num_samples:,} samples)" for name, num_samples in named]
            if len(self.credits) > len(named):
                lines.append(f"- and {len(self.credits) - len(named):,} more")
            lines.append("")
        return "\n".join(lines)

    def _use(self) -> str:
        return "\n".join(
            [
                "## How to go on with it\n",
                "`model.safetensors` holds the weights, `config.json` what model they belong to, `metadata.json` the "
                "ledger's record of this version. To train on from here, with your own volunteers:\n",
                "```",
                f"coordinator start --from hub:{self.repo_id}",
                "```\n",
            ]
        )


def _counted(number: int, what: str) -> str:
    return f"1 {what}" if number == 1 else f"{number:,} {what}s"


def _table(title: str, rows: Mapping[str, str]) -> str:
    lines = [f"| {name} | {_plain(value)} |" for name, value in rows.items()]
    return "\n".join([f"## {title}\n", "| | |", "|---|---|", *lines, ""])


def _options(options: Mapping[str, Any]) -> str:
    if not options:
        return ""
    return " (" + ", ".join(f"{name}: {value}" for name, value in sorted(options.items())) + ")"


def _plain(words: str) -> str:
    """Names and descriptions are other people's words: on the page they are text and nothing else."""
    shown = " ".join("".join(letter if letter.isprintable() else " " for letter in words).split())
    return "".join(f"\\{letter}" if letter in "\\`*_{}[]()<>#|!&~$" else letter for letter in shown)
