"""Grids of runs of the command `sbn`: the paper's tables, the digits, one of the user's own; nothing imports torch."""
