"""One process of pgqueuer. The database's URL comes in the first line of standard input.

python -m benchmarks.pgqueuer_worker install | fill JOBS | work BATCH_SIZE SECONDS
"""

from __future__ import annotations

import asyncio
import sys
import time

import asyncpg  # type: ignore[import-untyped]
from pgqueuer import AsyncpgPoolDriver, PgQueuer
from pgqueuer.models import Job
from pgqueuer.queries import Queries

_JOBS_AT_ONCE = 2_000
_PAYLOAD = bytes(range(256)) * 4


async def install(pool: asyncpg.Pool) -> None:
    queries = Queries(AsyncpgPoolDriver(pool))
    await queries.install()
    await queries.optimize_autovacuum()


async def fill(pool: asyncpg.Pool, jobs: int) -> None:
    """Leaves that many jobs waiting."""
    queries = Queries(AsyncpgPoolDriver(pool))
    await queries.clear_queue()
    for first in range(0, jobs, _JOBS_AT_ONCE):
        number = min(_JOBS_AT_ONCE, jobs - first)
        await queries.enqueue(["bench"] * number, [_PAYLOAD] * number, [0] * number)
    await pool.execute("VACUUM ANALYZE")


async def work(pool: asyncpg.Pool, batch_size: int, seconds: float) -> float:
    """Jobs per second, from the first to the last."""
    finished_at: list[float] = []
    pgq = PgQueuer(AsyncpgPoolDriver(pool))

    @pgq.entrypoint("bench")
    async def finish(job: Job) -> None:
        finished_at.append(time.perf_counter())

    asyncio.get_running_loop().call_later(seconds, pgq.shutdown.set)
    begin = time.perf_counter()
    await pgq.run(batch_size=batch_size)
    in_time = [moment for moment in finished_at if moment <= begin + seconds]
    return len(in_time) / (in_time[-1] - in_time[0]) if len(in_time) > 1 else 0.0


async def main(url: str, command: str, *arguments: str) -> None:
    async with asyncpg.create_pool(url, min_size=2, max_size=4) as pool:
        if command == "install":
            await install(pool)
        elif command == "fill":
            await fill(pool, int(arguments[0]))
        else:
            print("ready", flush=True)
            assert sys.stdin.readline() == "go\n"
            print(await work(pool, int(arguments[0]), float(arguments[1])))


if __name__ == "__main__":
    asyncio.run(main(sys.stdin.readline().strip(), *sys.argv[1:]))
