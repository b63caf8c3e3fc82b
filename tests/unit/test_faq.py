from __future__ import annotations

import re

import pytest

from contract.deltas import DeltaForm
from contract.workloads import WORKLOADS
from tests.unit.pages import ROOT

_FAQ = (ROOT / "docs" / "faq.md").read_text("utf-8")
_ROW = re.compile(r"^\| `(\w+)` \|((?: [\d.]+ \|){5})$", re.MULTILINE)
# A change that is sent in the codec of gradients has their bytes, but for buffers, which only it replaces.
_TOLERANCE = 0.01


@pytest.mark.parametrize("name", WORKLOADS.names)
def test_the_bytes_of_a_model_in_the_faq_are_those_that_travel(name: str) -> None:
    rows = {found[1]: [float(number) for number in found[2].split("|")[:-1]] for found in _ROW.finditer(_FAQ)}
    workload = WORKLOADS.build(name, {})
    whole = workload.manifest().num_bytes
    forms = [DeltaForm.of(workload, codec, {}) for codec in ("two_bit", "int8", "sparse")]
    two_bit, int8, sparse = (form.num_bytes for form in forms if form is not None)
    assert rows[name] == pytest.approx([size / 1e6 for size in (whole, two_bit, whole, int8, sparse)], rel=_TOLERANCE)
