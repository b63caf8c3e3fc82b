"""Logs for machines, of both sides alike: whoever collects a class's logs reads one form.

What it takes to write them is imported by whoever wants them: `--help` answers at once.
"""

from __future__ import annotations

import sys
from typing import Literal

LogFormat = Literal["text", "json"]


def told(error: BaseException, *, process: str) -> bool:
    """Whether logs are JSON; then what ended the process is told there, with all of its story."""
    if "contract.logs.lines" not in sys.modules:
        return False
    from contract.logs.lines import tell_the_end

    return tell_the_end(error, process=process)


__all__ = ["LogFormat", "told"]
