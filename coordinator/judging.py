"""Opens gradients where they lie, and asks whether they may be used: as they arrive, so that the last one of an update
does not wait for the others to be looked at."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection

from contract.compressors import Decoder, open_blob
from contract.compressors.ladder import codecs_of
from contract.errors import BlobError
from contract.ids import GradientId
from coordinator.admission import Admitted, Refused, admit
from coordinator.blobs import GradientBytes
from coordinator.ledger.gradients import WaitingGradient
from coordinator.privacy import Privacy
from coordinator.vectors import Vectors

# Gradients that fit into so much of the model's size are read from the database once, not to be judged and again to be
# added.
_HELD_SHARE = 0.5


@dataclasses.dataclass(slots=True, kw_only=True)
class Judge:
    """Remembers what it found: the bytes of a gradient that was submitted cannot change any more."""

    training: Mapping[str, Any]
    vectors: Vectors
    _sound: dict[GradientId, Admitted] = dataclasses.field(default_factory=dict)
    _unsound: dict[GradientId, Refused] = dataclasses.field(default_factory=dict)
    # Those whose bytes are held in memory, and how many they are.
    _held: dict[GradientId, int] = dataclasses.field(default_factory=dict)

    @property
    def _privacy(self) -> Privacy | None:
        return Privacy.of(self.training)

    def look_ahead(self, conn: Connection, waiting: Sequence[WaitingGradient]) -> None:
        """What is refused here is written down when its turn comes; until then nobody reads it again, however large."""
        for gradient in waiting:
            if gradient.gradient not in self._sound and gradient.gradient not in self._unsound:
                self._look(conn, gradient)

    def judge(self, conn: Connection, gradient: WaitingGradient, *, freshness: float = 1.0) -> Admitted | Refused:
        """What is admitted reads its bytes through `conn`, for as long as that is open."""
        if (unsound := self._unsound.get(gradient.gradient)) is not None:
            return unsound
        verdict = self._look_again(conn, gradient) if gradient.gradient in self._sound else self._look(conn, gradient)
        if isinstance(verdict, Refused) or self._privacy is not None:
            return verdict
        return dataclasses.replace(verdict, weight=verdict.weight * freshness)

    def forget(self) -> None:
        """Whatever was not merged was refused, or is looked at again."""
        self._sound.clear()
        self._unsound.clear()
        self._held.clear()

    def _look(self, conn: Connection, gradient: WaitingGradient) -> Admitted | Refused:
        room = _HELD_SHARE * self.vectors.manifest.num_bytes - sum(self._held.values())
        is_held = gradient.num_bytes <= room
        try:
            content = GradientBytes(conn, gradient.gradient, keep=is_held)
            content.require(gradient.sha256)
            verdict = admit(
                gradient=gradient.gradient,
                # In the order of the samples, whoever came first: so the sum has the same bits in every run.
                place=gradient.unit,
                decoder=self._open(content, gradient),
                vectors=self.vectors,
                num_samples=gradient.num_samples,
                unit_samples=gradient.unit_samples,
                clip_norm=self.training["gradient_clip_norm"],
                private_norm=None if self._privacy is None else self._privacy.clip_norm,
            )
        except BlobError as error:
            verdict = _refused(gradient, error)
        if isinstance(verdict, Refused):
            self._unsound[gradient.gradient] = verdict
        else:
            self._sound[gradient.gradient] = verdict
            if is_held:
                self._held[gradient.gradient] = gradient.num_bytes
        return verdict

    def _look_again(self, conn: Connection, gradient: WaitingGradient) -> Admitted | Refused:
        sound = self._sound[gradient.gradient]
        if gradient.gradient in self._held:
            return sound
        try:
            return dataclasses.replace(sound, decoder=self._open(GradientBytes(conn, gradient.gradient), gradient))
        except BlobError as error:
            return _refused(gradient, error)

    def _open(self, content: GradientBytes, gradient: WaitingGradient) -> Decoder:
        codecs = {codec.name: codec for codec in codecs_of(self.training)}
        codec = codecs.get(gradient.codec)
        if codec is None:
            raise BlobError(f"sent in a codec that this run does not take: {gradient.codec}, not {' or '.join(codecs)}")
        return open_blob(codec, content.read, gradient.num_bytes, self.vectors.manifest, whole=self.vectors.buffers)


def _refused(gradient: WaitingGradient, error: BlobError) -> Refused:
    return Refused(gradient=gradient.gradient, verdict=str(error).splitlines()[0][:1000])
