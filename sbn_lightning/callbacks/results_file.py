"""results.json: what is known of a run, for machines."""

import json
import os
from pathlib import Path
from typing import Any


def update_results(run_dir: Path, news: dict[str, Any]) -> None:
    """Add to a run's results.json; the file is replaced as a whole, so that a reader never sees half of it."""
    file = run_dir / "results.json"
    results = json.loads(file.read_text()) if file.exists() else {}
    run_dir.mkdir(parents=True, exist_ok=True)
    temporary = file.with_suffix(".json.new")
    temporary.write_text(json.dumps(results | news, indent=1) + "\n")
    os.replace(temporary, file)
