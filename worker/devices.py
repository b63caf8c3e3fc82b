"""What this computer can compute on."""

from __future__ import annotations

import os

import torch

from contract.errors import ConfigError

_CPU = "cpu"


def present() -> list[str]:
    """Fastest kind first; the processor is always there, and last."""
    found = [f"cuda:{number}" for number in range(torch.cuda.device_count())] if torch.cuda.is_available() else []
    if torch.xpu.is_available():
        found += [f"xpu:{number}" for number in range(torch.xpu.device_count())]
    if torch.backends.mps.is_available():
        found.append("mps")
    return [*found, _CPU]


def num_accelerators() -> int:
    """Of the fastest kind; they share a run's units evenly, a slower kind would not."""
    fastest = present()[0].split(":")[0]
    return 0 if fastest == _CPU else sum(device.split(":")[0] == fastest for device in present())


def choose(wanted: str, place: int = 0) -> str:
    """The device for the process at `place` of several on this computer; `auto` deals the fastest kind out in turn."""
    devices = present()
    if wanted == "auto":
        return devices[place % max(1, num_accelerators())]
    if wanted in devices:
        return wanted
    of_this_kind = [device for device in devices if device.split(":")[0] == wanted]
    if not of_this_kind:
        here = ", ".join(devices)
        raise ConfigError([f"worker.device: {wanted} is not there; this computer has {here} (auto takes the first)"])
    return of_this_kind[place % len(of_this_kind)]


def use_threads(num_threads: int | None, *, device: str, num_processes: int) -> int:
    """Before anything is computed. Several processes on one processor share it, or each would take all of it."""
    if num_threads is None and num_processes > 1 and device == _CPU:
        num_threads = max(1, (os.cpu_count() or 1) // num_processes)
    if num_threads is not None:
        torch.set_num_threads(num_threads)
    return torch.get_num_threads()


def described(device: str) -> str:
    kind = device.split(":")[0]
    if kind == "cuda":
        return f"{device} ({torch.cuda.get_device_name(device)})"
    if kind == "xpu":
        return f"{device} ({torch.xpu.get_device_name(device)})"
    threads = torch.get_num_threads()
    return f"{device} with {threads} thread{'' if threads == 1 else 's'}" if kind == _CPU else device
