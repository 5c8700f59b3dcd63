"""What is refused before anything is built, and while it is built."""

import pytest
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException

from sbn_lightning.cli.checks import building, check_devices
from sbn_lightning.errors import DivergenceError, UsageError


@pytest.mark.parametrize(
    "error",
    [
        ValueError("lr is -1"),
        MisconfigurationException("lr is -1"),
        TypeError("missing 1 required positional argument: 'lr'"),
        ModuleNotFoundError("lr needs a package"),
    ],
)
def test_complaint_about_settings_names_the_key(error: Exception) -> None:
    with pytest.raises(UsageError) as end, building("optimizer", settings=["momentum", "lr"]):
        raise error
    assert end.value.key == "optimizer.lr"
    assert str(end.value) == f"optimizer.lr: {error}"
    assert end.value.__cause__ is error


@pytest.mark.parametrize("error", [AttributeError("x"), TypeError("unsupported operand"), KeyError("x"), OSError("x")])
def test_bug_keeps_its_traceback(error: Exception) -> None:
    with pytest.raises(type(error)) as end, building("model.head"):
        raise error
    assert end.value is error


def test_message_for_the_user_stays_and_gets_a_key() -> None:
    for error in (UsageError("batch_size is 1"), DivergenceError("batch_size is NaN")):
        with pytest.raises(type(error)) as end, building("data", settings=["batch_size"]):
            raise error
        assert (str(end.value), end.value.key) == (str(error), "data.batch_size")
    with pytest.raises(UsageError) as end, building("data", settings=["batch_size"]):
        raise UsageError("batch_size is 1", "trainer.devices")
    assert end.value.key == "trainer.devices"


def test_number_of_processes_is_limited_on_a_cpu_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    check_devices("gpu", 999)
    check_devices("cpu", 1)
    check_devices("cpu", "auto")
    check_devices("cuda", 999)
    for devices in (0, -1, "-1", 9999):
        with pytest.raises(UsageError, match=f"trainer.devices: it is {devices}; without a GPU it must be from 1 to"):
            check_devices("cpu", devices)
