"""results.json: what is known of a run, for machines."""

import json
from pathlib import Path
from typing import Any

from sbn_lightning.errors import UsageError
from sbn_lightning.run.files import whole_file


def begin_results(run_dir: Path, facts: dict[str, Any]) -> None:
    """Start a run's results.json, in place of one of a training that this one continues."""
    with whole_file(run_dir / "results.json", "w") as stream:
        stream.write(json.dumps(facts, indent=1) + "\n")


def update_results(run_dir: Path, news: dict[str, Any]) -> None:
    """Add to a run's results.json.

    Raises:
        UsageError: If what is there is damaged.
    """
    file = run_dir / "results.json"
    try:
        results = json.loads(file.read_text()) if file.exists() else {}
    except ValueError as error:
        raise UsageError(f"{file} is damaged ({error}); move it away and give the same command again") from error
    begin_results(run_dir, results | news)
