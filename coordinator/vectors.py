"""Which tensors make one vector for the rules: those of an optimizer's group, and all buffers together."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Final

from contract.tensors import Manifest
from contract.workloads.base import Group, Workload

BUFFERS: Final = "buffers"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Vectors:
    manifest: Manifest
    groups: tuple[Group, ...]
    # Group -> tensor -> number of values, in the manifest's order.
    sizes: Mapping[str, Mapping[str, int]]
    variances: tuple[str, ...] = ()

    @classmethod
    def of(cls, workload: Workload) -> Vectors:
        manifest = workload.manifest()
        members = {group.name: frozenset(group.parameters) for group in workload.groups()}
        buffers = frozenset(workload.buffers())
        if buffers:
            members[BUFFERS] = buffers
        sizes = {
            group: {spec.name: spec.num_values for spec in manifest.tensors if spec.name in names}
            for group, names in members.items()
        }
        return cls(manifest=manifest, groups=workload.groups(), sizes=sizes, variances=workload.variances())

    @property
    def parameter_groups(self) -> tuple[str, ...]:
        return tuple(group.name for group in self.groups)

    @property
    def buffers(self) -> tuple[str, ...]:
        return tuple(self.sizes.get(BUFFERS, ()))

    def num_values(self, name: str) -> int:
        return next(sizes[name] for sizes in self.sizes.values() if name in sizes)
