"""Whether a launcher has started as many processes of a command as the command uses. No torch."""

import os

from sbn_lightning.errors import UsageError

LAUNCHERS = {"torchrun": "WORLD_SIZE", "srun": "SLURM_STEP_NUM_TASKS", "mpirun": "OMPI_COMM_WORLD_SIZE"}
"""{launcher: environment variable in which it tells how many processes it has started}."""


def check_launcher(used: int, what_to_do: str) -> None:
    """Refuse a launcher that has started several processes, but not the number that the command uses.

    Each of them would do the whole work, in the same folder. A launcher of one process lets Lightning start the others.
    """
    for launcher, variable in LAUNCHERS.items():
        value = os.environ.get(variable, "")
        if value.isdecimal() and int(value) > 1 and int(value) != used:
            raise UsageError(
                f"{launcher} has started {int(value)} processes of a command that uses {used} ({variable} is {value}); "
                f"{what_to_do}"
            )
