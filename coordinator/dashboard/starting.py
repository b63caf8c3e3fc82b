"""From a configuration to a page: as whom it looks, where it is served, and what is said of it."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Final

from contract.config import Config
from contract.errors import MissingExtra
from coordinator.embedded.certificate import own_addresses
from coordinator.embedded.settings import is_loopback
from coordinator.place import Place

try:
    from coordinator.dashboard.access import Access
    from coordinator.dashboard.login import looking_engine
    from coordinator.dashboard.serving import Serving, listen
    from coordinator.metrics.scraping import Scraping
except ModuleNotFoundError as error:
    if error.name not in ("starlette", "uvicorn", "anyio", "prometheus_client"):
        raise
    raise MissingExtra("the dashboard needs Starlette, uvicorn and prometheus-client", extra="dashboard") from error

_ONE_FAMILY: Final = ("0.0.0.0", "::")  # noqa: S104  compared with, not bound to
_ANY: Final = (*_ONE_FAMILY, "*")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class OpenPage:
    serving: Serving
    host: str

    @property
    def link(self) -> str:
        """For this computer's own browser."""
        return self.serving.access.link("127.0.0.1" if self.host in _ANY else self.host)

    def told(self) -> list[str]:
        if is_loopback(self.host):
            return [f"the dashboard is at {self.link}"]
        others = own_addresses() if self.host in _ANY else [self.host]
        if self.host in _ONE_FAMILY:
            others = [address for address in others if (":" in address) == (":" in self.host)]
        shown = [address for address in others if not is_loopback(address)] or [self.host]
        return [
            "the dashboard is shown to whoever has its link, which holds a token:",
            *(f"  {self.serving.access.link(address)}" for address in shown),
        ]


def open_page(
    place: Place, config: Config, config_file: Path | None, *, host: str | None = None, port: int | None = None
) -> OpenPage:
    settings = config.coordinator
    host = settings.dashboard_host if host is None else host
    listeners = listen(host, settings.dashboard_port if port is None else port)
    token = settings.dashboard_token
    access = Access.at(host, listeners[0].getsockname()[1], token=None if token is None else token.get_secret_value())
    engine = looking_engine(place, config, config_file)
    scraping = Scraping(engine, per_volunteer=settings.metrics_per_volunteer)
    serving = Serving(
        engine=engine, listeners=listeners, access=access, chosen=config.run.name, pooler=config.database.pooler,
        more_routes=[scraping.route()],
    )  # fmt: skip
    return OpenPage(serving=serving, host=host)
