"""What the records of runs say: tables with intervals, figures, a page. Nothing here imports torch."""
