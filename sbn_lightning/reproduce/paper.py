"""The 72 results of the paper's Tables 1 to 3."""

import csv
from pathlib import Path

# dataset, backbone, head as paper_tables.csv names them, scale and margin where the head has them
Cell = tuple[str, str, str, float | None, float | None]

RUNS = 3  # "every run is repeated 3 times", Section 4


def paper_results() -> dict[Cell, tuple[float, float]]:
    """Mean and standard deviation of each cell's test accuracy in percent, in the order of the tables."""
    with (Path(__file__).parent / "paper_tables.csv").open(newline="", encoding="utf-8") as file:
        return {
            (row["dataset"], row["backbone"], row["head"], number(row["scale"]), number(row["margin"])): (
                float(row["accuracy_mean_percent"]),
                float(row["accuracy_std_percent"]),
            )
            for row in csv.DictReader(file)
        }


def number(text: str) -> float | None:
    """A number, or None for an empty cell."""
    return float(text) if text else None
