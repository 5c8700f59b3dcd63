"""`python -m tests.soak`: kills trainings at random moments, continues them, and compares them bit for bit.

Prints a Markdown table, each row when it is known; about half an hour on two quiet cores. Exits with 1 if a training
did not end like the uninterrupted one.
"""

import argparse
import random
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.soak.interruptions import Outcome, kill_at_random, start_whole, stop_by_signal
from tests.soak.training import HEADS, VARIANTS, Training

Row = tuple[str, str, str, str]


def kills(count: int, folder: Path, chance: random.Random) -> Iterator[Row]:
    """One process, killed at a random moment, the heads in turns."""
    trainings = [Training(head, 1, folder) for head in HEADS[: max(1, min(count, len(HEADS)))]]
    for training in trainings:
        start_whole(training)
    outcomes = [kill_at_random(trainings[number % len(trainings)], number, chance) for number in range(count)]
    yield row(f"kill -9 at {count} random moments, digits, {len(trainings)} heads", outcomes, f"{count} of {count}")


def kills_with_state(count: int, folder: Path, chance: random.Random) -> Iterator[Row]:
    """The same with what has a state of its own: a plateau schedule, averaged weights, changing accumulation."""
    for variant in VARIANTS:
        training = Training("sbn", 1, folder, variant)
        start_whole(training)
        outcomes = [kill_at_random(training, number, chance) for number in range(count)]
        yield row(f"kill -9 at {count} random moments, digits, {variant}", outcomes, f"{count} of {count}")


def kills_on_two_processes(count: int, folder: Path, chance: random.Random) -> Iterator[Row]:
    """Two processes: one of them killed, the rest ended as a job manager would; then both at once."""
    training = Training("sbn", 2, folder)
    start_whole(training)
    for what, which in (("one rank", "one"), ("both", "both")):
        outcomes = [kill_at_random(training, f"{which}{number}", chance, which) for number in range(count)]
        yield row(f"2 processes, kill -9 of {what}", outcomes, f"{count} of {count}")


def signals(count: int, folder: Path, chance: random.Random) -> Iterator[Row]:
    """SIGTERM at a random moment: exit code, time until the process has ended, and what the continued run gives."""
    training = Training("sbn", 1, folder)
    start_whole(training)
    outcomes = [stop_by_signal(training, f"term{number}", chance) for number in range(count)]
    slowest = max((outcome.seconds for outcome in outcomes), default=0.0)
    yield row(f"SIGTERM: saved, exit code 143, continued; slowest {slowest:.1f} s", outcomes, f"under 5 s, {count}")


def row(what: str, outcomes: list[Outcome], wanted: str) -> Row:
    """A line of the table."""
    good = sum(outcome.good for outcome in outcomes)
    wrong = "; ".join(outcome.said for outcome in outcomes if not outcome.good)
    return what, f"{good} of {len(outcomes)} bit-identical", wanted, wrong


def main() -> None:
    """Run everything, or fewer of each."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--kills", type=int, default=20, metavar="N", help="on one process, the heads in turns")
    parser.add_argument("--state", type=int, default=20, metavar="N", help=f"with each of {', '.join(VARIANTS)}")
    parser.add_argument("--two", type=int, default=3, metavar="N", help="of one rank, and again of both")
    parser.add_argument("--signals", type=int, default=10, metavar="N", help="SIGTERM on one process")
    parser.add_argument("--seed", type=int, default=0, help="of the random moments")
    options = parser.parse_args()
    chance = random.Random(options.seed)
    parts = [(kills, options.kills), (kills_with_state, options.state)]
    parts += [(kills_on_two_processes, options.two), (signals, options.signals)]
    failed = False
    print("| what | measured | wanted | differences |\n|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory(prefix="sbn-soak-") as folder:
        for part, count in parts:
            for cells in part(count, Path(folder), chance) if count else ():
                print(f"| {' | '.join(cells)} |", flush=True)
                failed |= bool(cells[-1])
    raise SystemExit(int(failed))


if __name__ == "__main__":
    main()
