"""A grid's folder that is broken, a disk that is full, and options that are refused; the trainings are stand-ins."""

import pytest
from fake_grid import ONE, TWO, Grid

from sbn_lightning.errors import UsageError
from sbn_lightning.run import files
from sbn_lightning.run.records import RunState, run_state


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "results.json cannot be read"),
        ("[]", "results.json has invalid content"),
        ('{"fit": 3}', "results.json has invalid content"),
    ],
)
def test_corrupt_folder_is_a_failed_run_and_the_grid_goes_on(
    content: str, said: str, grid: Grid, capfd: pytest.CaptureFixture[str]
) -> None:
    grid.run("softmax").mkdir(parents=True)
    (grid.run("softmax") / "results.json").write_text(content)
    assert grid(*TWO) == 1
    text = " ".join(capfd.readouterr().out.split())
    assert run_state(grid.run("sbn")) is RunState.FINISHED
    assert "1 done, 0 running, 0 left, 1 failed" in text
    assert said in text


def test_broken_notes_of_a_runner_are_written_anew(grid: Grid) -> None:
    grid.run("softmax").mkdir(parents=True)
    (grid.run("softmax") / "run.json").write_text("half")
    assert grid(*ONE) == 0


def test_broken_grid_file_is_named_and_can_be_deleted(grid: Grid) -> None:
    grid(*ONE)
    (grid.root / "grid.json").write_text("")
    with pytest.raises(UsageError, match=r"grid\.json cannot be read .* move it away"):
        grid(*ONE)
    (grid.root / "grid.json").unlink()
    with pytest.raises(UsageError, match=r"optimizer\.lr was 0\.02, is 0\.05"):
        grid(*ONE, "--optimizer.lr", "0.05")
    calls = grid.calls()
    assert grid(*ONE) == 0
    assert grid.calls() == calls


def test_data_that_cannot_be_prepared_stops_the_grid_at_once(grid: Grid) -> None:
    grid.behave(fail="prepare")
    with pytest.raises(UsageError, match=r"the data cannot be prepared: sbn prepare --config digits_softmax.* code 1"):
        grid()
    assert [call[0] for call in grid.calls()] == ["prepare"]


def test_what_prepare_refuses_is_said_once(grid: Grid, capfd: pytest.CaptureFixture[str]) -> None:
    grid.behave(refuse="prepare")
    assert grid() == 2
    assert capfd.readouterr().err == "sbn: refused\n"


def test_option_that_is_none_of_fit_is_refused_before_anything_starts(grid: Grid) -> None:
    with pytest.raises(UsageError, match=r"there is no option --trainr.max_epochs, did you mean 'trainer'\?"):
        grid(*TWO, "--trainr.max_epochs", 3)
    assert list(grid.folder.iterdir()) == []


def test_full_disk_is_told_and_leaves_nothing_half_written(grid: Grid, monkeypatch: pytest.MonkeyPatch) -> None:
    grid(*ONE)
    kept = (grid.root / "grid.json").read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(UsageError, match="No space left on device"):
        grid(*TWO)
    assert (grid.root / "grid.json").read_bytes() == kept
    assert not list(grid.root.glob("*.new"))


def test_full_disk_under_a_run_fails_that_run(grid: Grid, capfd: pytest.CaptureFixture[str]) -> None:
    grid.run("softmax").mkdir(parents=True)
    (grid.run("softmax") / "run.log").symlink_to("/dev/full")
    assert grid(*TWO) == 1
    output = " ".join(capfd.readouterr().out.split())
    assert "No space left on device" in output
    assert "1 done, 0 running, 0 left, 1 failed" in output


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--seed", 0], r"there is no option --seed, did you mean '--seeds'\?"),
        (["--unknown-key"], "there is no option --unknown-key; see sbn reproduce --help"),
        (["--partition", "gpu"], "--partition is for --cluster slurm"),
        (["--gpus", 0], "--gpus is for --cluster slurm"),
        (["--cluster", "slurm", "--gpus", -1], "--gpus is -1; it must be at least 0"),
        (["--jobs", 0], "--jobs is 0; it must be at least 1"),
        (["--run_dir=x"], "--run_dir is set for each run by the grid"),
        (["--ckpt_path=x"], "--ckpt_path is set for each run by the grid"),
        (["--seed_everything=3"], "--seed_everything is set for each run by the grid"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: list[object], said: str, grid: Grid) -> None:
    with pytest.raises(UsageError, match=said):
        grid(*options)
    assert list(grid.folder.iterdir()) == []
