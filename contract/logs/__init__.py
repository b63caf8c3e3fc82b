"""Logs for machines, of both sides alike: whoever collects a class's logs reads one form."""

from contract.logs.lines import LogFormat, log_as_json, told

__all__ = ["LogFormat", "log_as_json", "told"]
