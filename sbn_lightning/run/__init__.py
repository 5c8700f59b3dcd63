"""What a run's folder holds, and who may write it. Nothing here imports torch."""
