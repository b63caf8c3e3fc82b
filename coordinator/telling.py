"""What became of the work, in an instructor's words."""

from __future__ import annotations

from coordinator.ledger.outcomes import Outcome
from coordinator.ledger.units import Failure


def failure_in_words(failure: Failure) -> str:
    who = f" (last tried by {failure.volunteer}, {failure.worker})" if failure.volunteer is not None else ""
    loss = f"its {failure.num_samples} samples are left out of epoch {failure.epoch}"
    return f"unit {failure.unit} failed for good: {failure.reason}{who}; {loss}"


def outcome_in_words(outcome: Outcome) -> str:
    share = f" ({100 * outcome.share_used:.1f} %)" if outcome.share_used is not None else ""
    parts = [f"{outcome.num_merged} of {outcome.num_computed} computed units moved the model{share}"]
    if dropped := outcome.num_begun - outcome.num_computed:
        parts.append(f"{dropped} more were begun and dropped")
    if outcome.surplus_samples:
        parts.append(f"{outcome.surplus_samples} samples were computed beyond need")
    if outcome.num_failed:
        units = "unit" if outcome.num_failed == 1 else "units"
        parts.append(f"{outcome.num_failed} {units} failed for good, {outcome.skipped_samples} samples were left out")
    return "; ".join(parts)
