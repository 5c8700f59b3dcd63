"""Turns jsonargparse's reports into one line that says what is wrong and what to do."""

from jsonargparse import ArgumentParser


def readable(message: str, parser: ArgumentParser) -> str:
    """Return one line for the user."""
    return " ".join(message.split())
