"""Versions go to the Hub beside the training: through the real client, to a server that speaks its protocol."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from contract.config import Config
from contract.errors import BlobError, ConfigError, HubAway, HubRefused
from coordinator.duties.push import Push, Report
from coordinator.hub.beginning import HubOrigin
from coordinator.hub.repository import Repository
from coordinator.ledger.runs import NewRun
from coordinator.new_run import new_run
from tests.integration.workshop import Workshop, open_workshop
from tests.model_hub import ModelHub, model_hub
from tests.servers.databases import Database
from tests.waiting import wait_until

REPO = "ada/digits"
# The client's own, of the library that it speaks HTTP with.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[ModelHub]:
    with model_hub() as running:
        monkeypatch.setenv("HF_ENDPOINT", running.endpoint)
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
        yield running


@pytest.fixture
def shop(database: Database) -> Iterator[Workshop]:
    with open_workshop(database, {"training": {"num_workunits_per_update": 1}}) as opened:
        opened.turn()
        yield opened


def config_of(**changes: object) -> Config:
    settings = {"enabled": True, "repo_id": REPO, "token": "hf_ada", "push_interval": 1, **changes}
    return Config.model_validate({"run": {"name": "class", "description": "Digits <b>"}, "huggingface": settings})


TOKEN = "hf_ada"


def repository(*, token: str = TOKEN, repo_id: str = REPO) -> Repository:
    return Repository(repo_id=repo_id, token=token)


def push_of(shop: Workshop, **changes: object) -> Push:
    repository().open_for_writing()
    return Push(
        engine=shop.owner, living=shop.living, repository=repository(), config=config_of(**changes),
        shortest_pause_seconds=0.0,
    )  # fmt: skip


def pushed(push: Push) -> Report:
    """The next that is said of a push."""
    found: list[Report] = []

    def look() -> bool:
        report = push.run_once()
        if report != Report():
            found.append(report)
        return bool(found)

    wait_until(look, within_seconds=60)
    return found[0]


def test_a_version_arrives_with_all_that_belongs_to_it(shop: Workshop, hub: ModelHub) -> None:
    shop.invite("bob").work()
    shop.turn()
    report = pushed(push_of(shop, license="mit"))
    assert (report.version, report.problem) == (1, None), report.problem
    files = hub.repositories[REPO]
    assert set(files) == {"model.safetensors", "config.json", "metadata.json", "losses.png", "README.md"}
    sha256 = hashlib.sha256(files["model.safetensors"]).digest()
    assert shop.rows("SELECT sha256 FROM ledger.model_versions WHERE number = 1") == [(sha256,)]
    metadata = json.loads(files["metadata.json"])
    assert (metadata["version"], metadata["num_samples"], metadata["num_volunteers"]) == (1, 4, 1)
    assert metadata["sha256"] == sha256.hex()
    card = files["README.md"].decode()
    assert card.startswith("---\n") and "license: mit" in card
    assert "Digits \\<b\\>" in card and "1 volunteer delivered 1 gradient of 4 samples" in card
    assert hub.messages == ["Version 1 of class"]
    assert shop.rows("SELECT version, repository, url FROM watch.pushes") == [(1, REPO, report.url)]


def test_only_who_asked_for_credit_is_named(shop: Workshop, hub: ModelHub) -> None:
    bob, eve = shop.invite("bob"), shop.invite("eve")
    shop.rows(
        f'UPDATE ledger.workers SET capabilities = \'{{"credit": "Bob [x](y)"}}\' WHERE id = {bob.joined.worker} '
        "RETURNING id"
    )
    for person in (bob, eve):
        person.work()
        shop.turn()
    pushed(push_of(shop))
    card = hub.repositories[REPO]["README.md"].decode()
    assert "- Bob \\[x\\]\\(y\\) (4 samples)" in card
    assert "eve" not in card and "2 volunteers" in card


def test_training_goes_on_while_an_upload_hangs(shop: Workshop, hub: ModelHub) -> None:
    bob = shop.invite("bob")
    bob.work()
    shop.turn()
    push = push_of(shop)
    hub.may_end.clear()
    assert push.run_once() == Report()
    wait_until(lambda: any(request.startswith("PUT") for request in hub.requests))
    bob.work()
    assert shop.turn().version == 2
    assert push.run_once() == Report()
    hub.may_end.set()
    assert pushed(push).version == 1
    assert pushed(push).version == 2


def test_what_was_pushed_is_not_pushed_again_after_a_restart(shop: Workshop, hub: ModelHub) -> None:
    shop.invite("bob").work()
    shop.turn()
    pushed(push_of(shop))
    again = push_of(shop)
    assert again.run_once() == Report() and again._under_way is None
    assert again.finish(patience_seconds=10) == Report()
    assert hub.messages == ["Version 1 of class"]


def test_the_last_version_is_pushed_whatever_its_number(shop: Workshop, hub: ModelHub) -> None:
    shop.invite("bob").work()
    shop.turn()
    push = push_of(shop, push_interval=5)
    assert push.run_once() == Report() and push._under_way is None
    assert push.finish(patience_seconds=30).version == 1


def test_a_push_that_failed_is_tried_again(shop: Workshop, hub: ModelHub) -> None:
    shop.invite("bob").work()
    shop.turn()
    hub.troubles = [503, 429]
    push = push_of(shop)
    assert "not on the Hub: the Hub does not take it at present (status 503)" in str(pushed(push).problem)
    assert "(status 429)" in str(pushed(push).problem)
    assert pushed(push).version == 1


def test_after_a_refusal_nothing_is_tried_until_somebody_acts(shop: Workshop, hub: ModelHub) -> None:
    shop.invite("bob").work()
    shop.turn()
    push = push_of(shop)
    hub.writers.clear()
    assert "nothing is pushed until this coordinator is started again" in str(pushed(push).problem)
    assert push.run_once() == Report() and push._under_way is None


def test_a_wrong_token_or_repository_is_named_at_once(hub: ModelHub) -> None:
    with pytest.raises(HubRefused, match=r"does not let this token write to ada/digits; make one with the right"):
        repository(token="hf_wrong").open_for_writing()
    with pytest.raises(HubRefused, match="does not let this token write to eve/digits"):
        repository(repo_id="eve/digits").open_for_writing()


def test_a_hub_that_cannot_be_reached_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(HubAway, match="cannot be reached"):
        repository().open_for_writing()


def test_a_private_repository_is_made_so(hub: ModelHub) -> None:
    dataclasses.replace(repository(), is_private=True).open_for_writing()
    assert hub.private == {REPO}


def test_a_run_begins_with_weights_from_the_hub(shop: Workshop, hub: ModelHub) -> None:
    shop.invite("bob").work()
    shop.turn()
    pushed(push_of(shop))
    state = HubOrigin.parse(f"hub:{REPO}").state(new_of(shop, hidden_features=4))
    assert bytes(state.weights_blob) == hub.repositories[REPO]["model.safetensors"]
    assert state.step == 0


def test_weights_of_another_model_are_refused(shop: Workshop, hub: ModelHub) -> None:
    shop.invite("bob").work()
    shop.turn()
    pushed(push_of(shop))
    with pytest.raises(ConfigError, match=r"ada/digits is another model than the configuration's: options .*: 4.*not"):
        HubOrigin.parse(f"hub:{REPO}").state(new_of(shop, hidden_features=5))
    with pytest.raises(HubRefused, match="no such revision"):
        HubOrigin.parse(f"hub:{REPO}@old").state(new_of(shop, hidden_features=4))
    hub.repositories[REPO]["model.safetensors"] = b"\x08\0\0\0\0\0\0\0{}"
    with pytest.raises(BlobError, match=r"ada/digits: model.safetensors: cut short|ada/digits: model.safetensors"):
        HubOrigin.parse(f"hub:{REPO}").state(new_of(shop, hidden_features=4))


def test_what_is_no_model_of_ours_is_refused(shop: Workshop, hub: ModelHub) -> None:
    hub.repositories[REPO] = {"weights.bin": b"?"}
    with pytest.raises(HubRefused, match="holds no model of Barnraise"):
        HubOrigin.parse(f"hub:{REPO}").state(new_of(shop, hidden_features=4))
    with pytest.raises(ValueError, match="is not hub:OWNER/NAME"):
        HubOrigin.parse("ada/digits")


def new_of(shop: Workshop, *, hidden_features: int) -> NewRun:
    model = {"name": "mlp", "options": {"image_size": 8, "hidden_features": hidden_features}}
    config = Config.model_validate({"model": model, "data": {"name": "glyphs", "num_samples": 40}})
    return new_run(config, config_file=None)
