"""One chore per file, each with `run_once() -> Report`."""
