"""What versions make when they are asked: kept beside the training, and drawn or written for whoever asks."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from contract.errors import ConfigError, NotFound
from contract.ids import Version
from coordinator.duties.sample import MakeSamples, Report
from coordinator.generating import Wish, fulfil
from coordinator.ledger import samples
from coordinator.plotting import draw
from coordinator.writing import Taste
from tests.integration.workshop import Workshop, open_workshop
from tests.servers.databases import Database

ONE = {"training": {"num_workunits_per_update": 1}}
DRAWING = {"name": "dcgan", "image_size": 32, "latent_dim": 4, "generator_features": 2, "discriminator_features": 2}
WRITING = {"name": "tiny_lstm", "options": {"context": 8, "embedding_features": 4, "hidden_features": 8}}


@pytest.fixture
def drawing(database: Database) -> Iterator[Workshop]:
    with open_workshop(database, {**ONE, "model": DRAWING}) as shop:
        shop.turn()
        yield shop


@pytest.fixture
def writing(database: Database) -> Iterator[Workshop]:
    with open_workshop(database, {**ONE, "model": WRITING, "data": {"name": "stdlib", "num_samples": 40}}) as shop:
        shop.turn()
        yield shop


def duty(shop: Workshop, *, every: int = 1) -> MakeSamples:
    resting = threading.Event()
    resting.set()
    return MakeSamples(
        engine=shop.owner, living=shop.living, every=every, resting=resting, largest_share=1.0
    )  # fmt: skip


def update(shop: Workshop, times: int = 1) -> None:
    person = shop.invite(f"bob{shop.living.head}")
    for _ in range(times):
        person.work()
        shop.turn()


def wish(**changes: object) -> Wish:
    plain = {
        "run": "class", "version": None, "seed": 0, "count": None, "file": None, "prompt": None, "length": None,
        "taste": Taste(), "is_picky": False,
    }  # fmt: skip
    return Wish(**{**plain, **changes})  # type: ignore[arg-type]


def test_a_picture_of_every_version_that_is_due_is_kept(drawing: Workshop) -> None:
    making = duty(drawing, every=2)
    assert making.run_once() == Report(version=Version(0))
    update(drawing)
    assert making.run_once() == Report()
    update(drawing)
    assert making.run_once() == Report(version=Version(2))
    update(drawing)
    assert making.finish() == Report(version=Version(3))
    rows = drawing.rows("SELECT version, media_type FROM watch.samples ORDER BY version")
    assert rows == [(0, "image/png"), (2, "image/png"), (3, "image/png")]
    (content,) = drawing.rows("SELECT content FROM watch.samples WHERE version = 3")[0]
    assert Image.open(io.BytesIO(bytes(content))).size == (6 * 66 - 2, 6 * 66 - 2)  # type: ignore[call-overload]


def test_a_restart_does_not_ask_the_same_version_again(drawing: Workshop) -> None:
    assert duty(drawing).run_once().version == 0
    assert duty(drawing).run_once() == Report()


def test_text_is_kept_of_a_model_that_writes(writing: Workshop) -> None:
    assert duty(writing).run_once().version == 0
    ((kind, length),) = writing.rows("SELECT media_type, length(content) FROM watch.samples")
    assert kind == "text/plain" and int(str(length)) >= 300


def test_a_model_that_judges_makes_nothing(database: Database) -> None:
    with open_workshop(database, ONE) as shop:
        assert duty(shop).run_once() == Report()
        assert duty(shop).finish() == Report()


def test_nothing_is_made_while_there_is_more_urgent_work(drawing: Workshop) -> None:
    making = duty(drawing)
    making.resting.clear()
    assert making.run_once() == Report()


def test_every_second_one_goes_when_there_are_too_many(database: Database) -> None:
    with open_workshop(database, ONE) as shop, shop.owner.begin() as conn:
        for number in range(11):
            samples.add_sample(conn, run=shop.run, version=Version(number), media_type="text/plain", content=b"x")
        samples.thin_samples(conn, run=shop.run, most=11)
        assert samples.versions_with_samples(conn, run=shop.run) == list(range(11))
        samples.thin_samples(conn, run=shop.run, most=10)
        assert samples.versions_with_samples(conn, run=shop.run) == [0, 2, 4, 6, 8, 10]
        samples.thin_samples(conn, run=shop.run, most=5)
        assert samples.versions_with_samples(conn, run=shop.run) == [0, 4, 8, 10], "the last one stays"


def test_images_are_drawn_into_a_file(drawing: Workshop, tmp_path: Path) -> None:
    file = tmp_path / "new" / "images.png"
    (said,) = fulfil(drawing.owner, wish(count=9, file=file))
    assert said == f"{file}  9 images by version 0 of class\n"
    with Image.open(file) as image:
        assert image.size == (3 * 66 - 2, 3 * 66 - 2)


def test_text_is_written_piece_by_piece_and_the_same_for_the_same_seed(writing: Workshop) -> None:
    first, again = (list(fulfil(writing.owner, wish(prompt="def ", length=20, seed=5))) for _ in range(2))
    assert first == again and first[0] == "def " and len(first) > 3


@pytest.mark.parametrize(
    ("which", "changes", "says"),
    [
        ("drawing", {"prompt": "x"}, "draws images; leave out what is about text"),
        ("drawing", {"is_picky": True}, "draws images; leave out what is about text"),
        ("writing", {"count": 4}, "writes text; leave out --count and --out"),
    ],
)
def test_what_a_model_cannot_do_is_said(
    request: pytest.FixtureRequest, which: str, changes: dict[str, object], says: str
) -> None:
    shop = request.getfixturevalue(which)
    with pytest.raises(ConfigError, match=says):
        list(fulfil(shop.owner, wish(**changes)))


def test_a_version_that_is_not_there_is_named(writing: Workshop) -> None:
    with pytest.raises(NotFound, match="has no version 7 yet; the newest is 0"):
        list(fulfil(writing.owner, wish(version=Version(7))))


def test_plots_show_what_there_is(drawing: Workshop, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="nothing to draw yet"):
        list(draw(drawing.owner, run="class", folder=tmp_path / "early"))
    making = duty(drawing)
    for _ in range(3):
        update(drawing)
        making.run_once()
    made = [file.name for file, _ in draw(drawing.owner, run="class", folder=tmp_path / "plots")]
    assert made == ["losses.png", "throughput.png", "staleness.png", "samples.png", "growth.gif"]
    with Image.open(tmp_path / "plots" / "growth.gif") as growth:
        assert growth.n_frames == 3  # type: ignore[attr-defined]


def test_plots_of_a_model_that_writes_hold_its_texts(writing: Workshop, tmp_path: Path) -> None:
    update(writing)
    duty(writing).run_once()
    made = [file.name for file, _ in draw(writing.owner, run="class", folder=tmp_path)]
    assert "samples.txt" in made
    assert (tmp_path / "samples.txt").read_text("utf-8").startswith("=== version 1\n")
