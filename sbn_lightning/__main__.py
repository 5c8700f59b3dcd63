"""`python -m sbn_lightning` is the command `sbn`."""

import sys

from sbn_lightning.errors import HOW_TO_INSTALL

if __name__ == "__main__":
    try:
        from sbn_lightning.cli.commands import main
    except ModuleNotFoundError as error:  # a package, or the metadata of this one
        print(f"sbn: {error}; {HOW_TO_INSTALL}", file=sys.stderr)
        raise SystemExit(2) from None
    main()
