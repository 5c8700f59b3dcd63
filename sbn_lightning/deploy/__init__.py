"""A trained model in use: it answers, shows its mistakes, and leaves as a file."""
