"""The peers' process: a line of JSON asks, a line of JSON answers. `benchmarks.peers.client` starts it."""

from __future__ import annotations

import json
import resource
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any, Final

import numpy as np
import torch

from benchmarks.peers import codecs
from benchmarks.peers.rules import Peers, flat
from benchmarks.spent import clock_for, extra_bytes

MOST_BYTES: Final = 12 << 30
_ENOUGH_SECONDS: Final = 5.0


class Process:
    def __init__(self) -> None:
        self.peers: Peers | None = None
        self.clock = clock_for(1)
        self.tensors: dict[str, torch.Tensor] = {}

    def threads(self, number: int) -> None:
        torch.set_num_threads(number)
        self.clock = clock_for(number)

    def gradients(self, paths: list[str], offset: int, sizes: list[int], num_byzantine: int) -> None:
        rows = [np.fromfile(path, dtype=np.float32, offset=offset, count=sum(sizes)) for path in paths]
        self.peers = Peers(np.stack(rows), sizes, num_byzantine)

    def ways(self, rule: str) -> list[str]:
        assert self.peers is not None
        return list(self.peers.ways(rule))

    def rule(self, rule: str, way: str, repeats: int, every: int) -> dict[str, Any]:
        assert self.peers is not None
        make = self.peers.ways(rule)[way]
        seconds: list[float] = []
        found: list[np.ndarray] = []

        def once() -> None:
            begin = self.clock()
            aggregate = run()
            seconds.append(self.clock() - begin)
            found.append(flat(aggregate)[::every])

        run = make()
        extra = extra_bytes(once)
        # What takes long is not done again.
        while len(seconds) < repeats and sum(seconds) < _ENOUGH_SECONDS:
            run = make()
            once()
        return {"seconds": statistics.median(seconds), "extra": extra, "values": found[-1].astype(float).tolist()}

    def tensors_at(self, path: str, shapes: dict[str, list[int]]) -> None:
        self.tensors = codecs.read(path, shapes)

    def codec(self, name: str, repeats: int) -> dict[str, float]:
        encoding, decoding = [], []
        for _ in range(repeats):
            begin = time.perf_counter()
            blobs = codecs.encode(name, self.tensors)
            encoding.append(time.perf_counter() - begin)
            begin = time.perf_counter()
            decoded = codecs.decode(blobs)
            decoding.append(time.perf_counter() - begin)
        return {
            "num_bytes": sum(map(len, blobs)),
            "encode": statistics.median(encoding),
            "decode": statistics.median(decoding),
            "error": codecs.relative_error(self.tensors, decoded),
        }


def main() -> None:
    if sys.platform == "linux":
        # A library that needs more says so by failing, not by taking the machine with it.
        resource.setrlimit(resource.RLIMIT_DATA, (MOST_BYTES, MOST_BYTES))
    process = Process()
    does: dict[str, Callable[..., Any]] = {
        name: getattr(process, name) for name in ("threads", "gradients", "ways", "rule", "tensors_at", "codec")
    }
    # The libraries print as well; what they say goes elsewhere.
    answers, sys.stdout = sys.stdout, sys.stderr
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = does[request.pop("do")](**request)
        except (MemoryError, RuntimeError) as error:
            if isinstance(error, RuntimeError) and "memory" not in str(error):
                raise
            answer = None
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
