"""What the tests of the command line share."""

from collections.abc import Callable

import pytest


@pytest.fixture
def answer(sbn: Callable[..., None], capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """The one line with which a command answers that cannot be carried out: answer("fit", "--config", "x")."""

    def run(*arguments: str) -> str:
        with pytest.raises(SystemExit) as end:
            sbn(*arguments)
        assert end.value.code == 2
        text = capsys.readouterr().err
        assert text.startswith("sbn: ")
        assert text.count("\n") == 1, text
        assert not text.endswith(":\n"), "the reason is cut off"
        return text

    return run
