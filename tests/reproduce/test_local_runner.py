"""Which run is started when, and what becomes of it; the trainings are stand-ins."""

import json
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from fake_grid import FAKE, Grid, record, wait_for

from sbn_lightning.errors import UsageError
from sbn_lightning.reproduce import run_one as supervisor
from sbn_lightning.reproduce.grid import chosen
from sbn_lightning.reproduce.plan import store_runs
from sbn_lightning.reproduce.settings import load_yaml
from sbn_lightning.reproduce.tables import digits_table

ONE = ("--seeds", 0, "--heads", "softmax")
TWO = ("--seeds", 0, "--heads", "softmax", "sbn")


def test_all_runs_are_trained_and_tested_once(grid: Grid, capfd: pytest.CaptureFixture[str]) -> None:
    assert grid("--jobs", 3) == 0
    assert len(grid.calls("prepare")) == 1
    runs = {
        f"digits/SmallCNN/{head}/seed{seed}" for head in ("softmax", "sbn", "am_softmax", "pedcc") for seed in "012"
    }
    for command in ("fit", "test"):
        assert sorted(run for _, run, *_ in grid.calls(command) if command == "fit" or run in runs) == sorted(runs)
    assert {record(grid.root / run)["state"] for run in runs} == {"finished"}
    assert {run["folder"] for run in json.loads((grid.root / "grid.json").read_text())["runs"]} == runs
    text = capfd.readouterr().out
    assert "12 done, 0 running, 0 left, 0 failed" in text
    assert f"sbn report {grid.root.relative_to(grid.folder)}" in text


def test_finished_runs_are_not_repeated(grid: Grid) -> None:
    grid(*ONE)
    before = grid.calls()
    assert grid(*ONE) == 0
    assert grid.calls() == before
    assert grid(*TWO) == 0
    assert [run for _, run, *_ in grid.calls("fit")] == [f"digits/SmallCNN/{head}/seed0" for head in ("softmax", "sbn")]


def test_failed_run_is_reported_with_its_last_lines_while_others_go_on(
    grid: Grid, capfd: pytest.CaptureFixture[str]
) -> None:
    grid.behave(fail="softmax/seed0")
    assert grid("--seeds", 0, "--heads", "softmax", "sbn") == 1
    text = capfd.readouterr().out
    assert "1 done, 0 running, 0 left, 1 failed" in text
    assert "FAILED digits/SmallCNN/softmax/seed0: sbn fit ended with exit code 1" in text
    assert "loss is NaN in step 7" in text
    failed = record(grid.run("softmax"))
    assert (failed["state"], failed["attempts"]) == ("failed", 1)
    assert "loss is NaN in step 7" in failed["error"]
    assert record(grid.run("sbn"))["state"] == "finished"

    grid.behave(fail="")
    assert grid(*TWO) == 0
    again = record(grid.run("softmax"))
    assert (again["state"], again["attempts"], again["error"]) == ("finished", 2, None)
    assert grid.calls("fit")[-1][2] == "resumed"


def test_trained_run_is_only_tested(grid: Grid) -> None:
    grid(*ONE)
    results = grid.run("softmax") / "results.json"
    results.write_text(json.dumps({k: v for k, v in json.loads(results.read_text()).items() if k != "test"}))
    assert grid(*ONE) == 0
    assert len(grid.calls("fit")) == 1
    assert len(grid.calls("test")) == 2


@pytest.mark.parametrize("other", ["best.ckpt", "mylast.ckpt"])
def test_test_of_another_checkpoint_does_not_finish_a_run(other: str, grid: Grid) -> None:
    grid(*ONE)
    results = grid.run("softmax") / "results.json"
    results.write_text(results.read_text().replace("last.ckpt", other))
    assert grid(*ONE) == 0
    assert len(grid.calls("test")) == 2


def test_training_that_leaves_epochs_out_has_failed(grid: Grid, capfd: pytest.CaptureFixture[str]) -> None:
    grid.behave(short="softmax")
    assert grid(*ONE) == 1
    assert "ended before its last epoch" in capfd.readouterr().out


def test_killed_run_continues_from_its_checkpoint(grid: Grid, capfd: pytest.CaptureFixture[str]) -> None:
    grid.behave(wait="softmax")
    runner = grid.start(*ONE)
    wait_for(lambda: (grid.run("softmax") / "checkpoints/last.ckpt").exists())
    os.kill(int(grid.calls("fit")[0][-1]), signal.SIGKILL)
    assert runner.wait(60) == 1
    assert "sbn fit was killed (SIGKILL)" in record(grid.run("softmax"))["error"]
    grid.behave(wait="")
    assert grid(*ONE) == 0
    assert [call[2:-1] for call in grid.calls("fit")] == [[], ["resumed"]]


def test_killed_runner_leaves_its_run_alive_and_it_is_not_doubled(grid: Grid) -> None:
    grid.behave(wait="seed0")
    runner = grid.start(*TWO)
    wait_for(lambda: (grid.run("softmax") / "checkpoints/last.ckpt").exists())
    os.kill(runner.pid, signal.SIGKILL)
    runner.wait(60)
    second = grid.start(*TWO)
    for line in second.stdout or ():
        if "1 of them train already" in line:
            break
    else:
        pytest.fail("the second runner does not see the training")
    assert len(grid.calls("fit")) == 1  # with one place, taken by the training that goes on, nothing else starts
    grid.behave(wait="")
    assert second.wait(60) == 0
    assert sorted(run for _, run, *_ in grid.calls("fit")) == [
        "digits/SmallCNN/sbn/seed0",
        "digits/SmallCNN/softmax/seed0",
    ]
    assert len(grid.calls("test")) == 2


def test_training_whose_supervisor_was_killed_keeps_its_folder(grid: Grid) -> None:
    grid.behave(wait="softmax")
    runner = grid.start(*ONE)
    wait_for(lambda: grid.calls("fit"))
    training = int(grid.calls("fit")[0][-1])
    supervisor = int(Path(f"/proc/{training}/stat").read_text().rpartition(")")[2].split()[1])
    assert supervisor != runner.pid
    os.kill(supervisor, signal.SIGKILL)
    wait_for(lambda: not Path(f"/proc/{supervisor}").exists())
    grid.behave(wait="")
    assert runner.wait(60) == 0
    assert len(grid.calls("fit")) == len(grid.calls("test")) == 1


def test_two_runners_share_a_grid(grid: Grid) -> None:
    runners = [grid.start() for _ in range(2)]
    outputs = [runner.communicate(timeout=120)[0] for runner in runners]
    assert [runner.returncode for runner in runners] == [0, 0], outputs
    for command in ("fit", "test"):
        calls = [run for _, run, *_ in grid.calls(command)]
        assert len(calls) == len(set(calls)) == 12
    assert all("12 done, 0 running, 0 left, 0 failed" in output for output in outputs)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_runner_passes_a_signal_on_and_nothing_is_lost(number: int, code: int, grid: Grid) -> None:
    grid.behave(wait="seed0")
    runner = grid.start(*TWO)
    wait_for(lambda: grid.calls("fit"))
    wait_for(lambda: (grid.run("softmax") / "config.yaml").exists())
    runner.send_signal(number)
    output, _ = runner.communicate(timeout=60)
    assert runner.returncode == code, output
    assert "0 done, 0 running, 2 left, 0 failed" in output
    assert not Path(f"/proc/{grid.calls('fit')[0][-1]}").exists()
    assert record(grid.run("softmax"))["state"] == "running"
    grid.behave(wait="")
    assert grid(*TWO) == 0


def test_changed_settings_are_refused_with_the_difference(grid: Grid) -> None:
    grid(*ONE)
    calls, kept = grid.calls(), (grid.root / "grid.json").read_bytes()
    for _ in range(2):
        with pytest.raises(UsageError, match=r"optimizer\.lr was 0\.02, is 0\.05.*--out DIR"):
            grid(*TWO, "--optimizer.lr", "0.05")
    assert (grid.calls(), (grid.root / "grid.json").read_bytes()) == (calls, kept)
    assert grid(*ONE, "--data.root", "elsewhere") == 0  # where the data lie makes no other run


def test_changed_config_file_is_refused_with_the_difference(grid: Grid) -> None:
    Path("fast.yaml").write_text("trainer: {precision: bf16-mixed}")
    grid(*ONE, "--config", "fast.yaml")
    Path("fast.yaml").write_text("trainer: {precision: 32-true}")
    load_yaml.cache_clear()  # as in a new process
    with pytest.raises(UsageError, match=r"trainer\.precision was bf16-mixed, is 32-true"):
        grid(*ONE, "--config", "fast.yaml")


def test_config_file_changed_while_the_grid_runs_fails_the_next_run(grid: Grid) -> None:
    Path("fast.yaml").write_text("trainer: {precision: bf16-mixed}")
    grid.behave(wait="softmax")
    runner = grid.start(*TWO, "--config=fast.yaml")
    wait_for(lambda: grid.calls("fit"))
    Path("fast.yaml").write_text("trainer: {precision: 32-true}")
    grid.behave(wait="")
    output, _ = runner.communicate(timeout=60)
    assert runner.returncode == 1
    assert "1 done, 0 running, 0 left, 1 failed" in output
    assert "a config was changed while the grid ran: trainer.precision was bf16-mixed, is 32-true" in output


def test_unfinished_runs_may_get_other_settings_until_they_are_begun(grid: Grid) -> None:
    grid(*ONE)
    grid("--seeds", 1, "--heads", "softmax", "--optimizer.lr", "0.05")
    stored = {
        run["folder"]: run["config"]["optimizer.lr"]
        for run in json.loads((grid.root / "grid.json").read_text())["runs"]
    }
    assert stored == {"digits/SmallCNN/softmax/seed0": 0.02, "digits/SmallCNN/softmax/seed1": 0.05}


def test_run_that_was_refused_its_options_may_get_others(grid: Grid) -> None:
    grid.behave(refuse="softmax")
    assert grid(*ONE, "--optimizer.lr", "0.05") == 1
    grid.behave(refuse="")
    assert grid(*ONE, "--optimizer.lr", "0.04") == 0


def test_deaf_training_is_killed_after_a_while(grid: Grid, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "PATIENCE", 0.2)
    store_runs(grid.root, chosen(list(digits_table()), {"seeds": ["0"]}))
    run = supervisor.Supervisor(grid.root, "digits/SmallCNN/softmax/seed0", FAKE)
    grid.behave(ignore="softmax")

    def stop() -> None:
        wait_for((grid.run("softmax") / "config.yaml").exists)
        run.ask_to_end(signal.SIGTERM)

    with ThreadPoolExecutor() as executor:
        stopped = executor.submit(stop)
        assert run() is supervisor.Outcome.STOPPED
        stopped.result()
    assert not Path(f"/proc/{grid.calls('fit')[0][-1]}").exists()
