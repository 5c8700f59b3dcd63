"""The command `sbn`."""
