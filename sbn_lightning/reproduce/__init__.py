"""The paper's grid: runs of the command `sbn`, and what their records say. Nothing here imports torch."""
