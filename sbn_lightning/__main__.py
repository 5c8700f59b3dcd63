"""`python -m sbn_lightning` is the command `sbn`."""

from sbn_lightning.cli.commands import main

if __name__ == "__main__":
    main()
