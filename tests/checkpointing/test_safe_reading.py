"""Checkpoints of unknown origin, through everything that takes one: nothing in them is run or imported."""

import io
import os
import pickle
import shutil
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from sbn_lightning import Classifier
from sbn_lightning.checkpointing.checkpoint_file import AtomicCheckpointIO
from sbn_lightning.checkpointing.load import Restoring
from sbn_lightning.errors import UsageError

Sbn = Callable[..., None]
Answer = Callable[..., str]
COMMANDS = ("fit", "validate", "test")
OUTPUTS = {"predict": "a.csv", "evaluate": "page", "export": "a.safetensors"}
"""{command that uses a trained model: what it would write}."""
OWN_MODULE = "planted_by_a_test"


@pytest.fixture(scope="module")
def trained(train_digits: Callable[..., Path]) -> Path:
    """A run with a hold-out, so that every command has something to do."""
    return train_digits("--data.validation_fraction=0.2", "--trainer.max_epochs=1", "--trainer.log_every_n_steps=5")


@pytest.fixture
def run(trained: Path, sbn: Sbn) -> Path:
    """A copy of it in the current folder."""
    return Path(shutil.copytree(trained, "run")).absolute()


def carrying_code(stored: dict[str, Any], form: str, proof: Path) -> bytes:
    """The checkpoint with a system call in it that would leave a file."""

    class SystemCall:
        def __reduce__(self) -> tuple[Any, tuple[str]]:
            return os.system, (f"touch {proof}",)

    code = SystemCall()
    buffer = io.BytesIO()
    if form == "bare pickle":
        pickle.dump(code, buffer)
    elif form == "old format":
        torch.save(stored | {"epoch": code}, buffer, _use_new_zipfile_serialization=False)
    else:
        torch.save(stored | {"extra" if form == "beside the weights" else "hyper_parameters": code}, buffer)
    return buffer.getvalue()


@pytest.mark.parametrize("form", ["bare pickle", "old format", "beside the weights", "as hyperparameters"])
def test_code_in_a_checkpoint_is_refused_by_every_command_and_not_run(
    form: str, run: Path, answer: Answer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")  # what torch offers to people who trust their files
    proof = tmp_path / "proof"
    evil = tmp_path / "evil.ckpt"
    evil.write_bytes(carrying_code(stored_in(run), form, proof))
    kept = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    for command in COMMANDS:
        said = answer(command, "--config", "run", "--run_dir", "other", "--ckpt_path", evil, "--trainer.max_epochs", 3)
        assert f"{evil} is not a checkpoint that can be loaded safely" in said
        assert "it would run posix.system; only plain data" in said or form in ("bare pickle", "old format")
    for command in OUTPUTS:
        said = answer(command, "--config", "run", "--ckpt_path", evil, "--out", tmp_path / OUTPUTS[command])
        assert f"{evil} is not a checkpoint that can be loaded safely" in said
    with evil.open("rb") as file:
        for load in (Classifier.load_from_checkpoint, AtomicCheckpointIO().load_checkpoint):
            for source in (evil, file):
                with pytest.raises(ValueError, match="is not a checkpoint that can be loaded safely"):
                    load(source)
    assert not proof.exists()
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == kept


@pytest.mark.parametrize("command", ["fit", "test"])
def test_safe_loading_cannot_be_switched_off(command: str, run: Path, answer: Answer) -> None:
    assert "weights_only" in answer(command, "--config", "run", "--ckpt_path", "last", "--weights_only", "false")


@pytest.fixture
def planted(tmp_path: Path) -> Path:
    """A module in the current folder that leaves a file when it is imported; gives that file's path."""
    proof = tmp_path / "proof"
    (tmp_path / f"{OWN_MODULE}.py").write_text(
        f"open({str(proof)!r}, 'w').close()\nfrom sbn_lightning import SoftmaxHead\nclass Evil(SoftmaxHead): pass\n"
    )
    yield proof
    sys.modules.pop(OWN_MODULE, None)


def stored_in(run: Path) -> dict[str, Any]:
    return torch.load(run / "checkpoints/last.ckpt", weights_only=True)


def naming(run: Path, part: str, value: Any) -> Path:
    """A copy of the run's checkpoint with another value at model.<part>."""
    stored = stored_in(run)
    *parents, last = part.split(".")
    settings = stored["hyper_parameters"]
    for name in parents:
        settings = settings[name]
    settings[last] = value
    torch.save(stored, "foreign.ckpt")
    return Path("foreign.ckpt").absolute()


NOT_IMPORTED, NOT_FIT = "is not an imported subclass of Backbone or Head", "do not fit the model: "
NO_CLASS = "does not name model.head as a class_path with its init_args"
LOAD_INLINE = {"class_path": "torch.utils.cpp_extension.load_inline", "init_args": {"name": "x", "cpp_sources": ""}}
NAMES: dict[str, tuple[str, Any, str]] = {
    "head": ("head", {"class_path": f"{OWN_MODULE}.Evil", "init_args": {}}, NOT_IMPORTED),
    "head, in short": ("head", f"{OWN_MODULE}.Evil", NO_CLASS),
    "a config file": ("head", "evil.yaml", NO_CLASS),
    "a config as text": ("head", f"{{class_path: {OWN_MODULE}.Evil}}", NO_CLASS),
    "backbone": ("backbone", {"class_path": f"{OWN_MODULE}.Evil"}, NOT_IMPORTED),
    "a setting's class": ("head.init_args.scale", {"class_path": f"{OWN_MODULE}.Evil"}, NOT_IMPORTED),
    "in a list": ("head.init_args.scale", [1, {"class_path": f"{OWN_MODULE}.Evil"}], NOT_IMPORTED),
    "with blanks": ("head.class_path", f" {OWN_MODULE}.Evil", NOT_IMPORTED),
    "a path that takes hours to look up": ("head.class_path", "x." * 500_000 + "y", NOT_IMPORTED),
    "not a text": ("head.class_path", 3, NOT_IMPORTED),
    "a function that is imported": (
        "head",
        {"class_path": "os.system", "init_args": {"command": "touch x"}},
        NOT_IMPORTED,
    ),
    "a function of torch": ("head", {"class_path": "torch.hub.load", "init_args": {"repo": "a/b"}}, NOT_IMPORTED),
    "a compiler": ("backbone", LOAD_INLINE, NOT_IMPORTED),
    "a loader": ("head.init_args.scale", {"class_path": "torch.load", "init_args": {"f": "evil.ckpt"}}, NOT_IMPORTED),
    "a class of torch": ("backbone", {"class_path": "torch.nn.Identity"}, NOT_IMPORTED),
    "a base class": ("backbone", {"class_path": "sbn_lightning.Backbone"}, NOT_IMPORTED),
    "a function of this package": ("head", {"class_path": "sbn_lightning.cli.commands.main"}, NOT_IMPORTED),
    "a setting's text": ("head.init_args.scale", f"{OWN_MODULE}.Evil", NOT_FIT),
    "an unknown setting": ("head.init_args.proof", 1, NOT_FIT),
    "a number of classes": ("num_classes", -1, NOT_FIT),
}


@pytest.mark.parametrize("where", NAMES)
def test_what_a_checkpoint_names_is_neither_imported_nor_called(
    where: str, run: Path, answer: Answer, planted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(Path.cwd())
    Path("evil.yaml").write_text(f"class_path: {OWN_MODULE}.Evil\n")
    *change, message = NAMES[where]
    foreign = naming(run, *change)
    with pytest.raises(UsageError) as refused:
        Classifier.load_from_checkpoint(foreign)
    assert f"{foreign} " in str(refused.value)
    assert message in str(refused.value)
    options = ["--config", "run", "--run_dir", "other", "--ckpt_path", foreign, "--trainer.max_epochs", 3]
    for command in COMMANDS if where != "a number of classes" else ():  # which the commands take from the data
        assert "is a checkpoint of another model" in answer(command, *options)
    for command, out in OUTPUTS.items():
        assert message in answer(command, "--config", "run", "--ckpt_path", foreign, "--out", out)
    assert not planted.exists()
    assert OWN_MODULE not in sys.modules


@pytest.mark.parametrize("key", ["_class_path", "_instantiator"])
def test_how_a_checkpoint_wants_to_be_built_does_not_matter(key: str, run: Path, planted: Path) -> None:
    assert Classifier.load_from_checkpoint(naming(run, key, f"{OWN_MODULE}.Evil")).head.norm.scale == 3.0
    assert not planted.exists()


@pytest.mark.parametrize("part", ["hyper_parameters", "optimizer_states"])
def test_values_without_an_end_are_refused(part: str, run: Path, answer: Answer) -> None:
    value: dict[str, Any] = {}
    if part == "hyper_parameters":
        value["a"] = value
    for _ in range(60 if part == "optimizer_states" else 0):
        value = {"a": value, "b": value}  # 2 ** 60 values
    torch.save(stored_in(run) | {part: value if part == "hyper_parameters" else [value]}, "foreign.ckpt")
    message = "foreign.ckpt is not a checkpoint that can be loaded safely: its values are nested too deeply, or contain"
    assert message in answer("test", "--config", "run", "--run_dir", "other", "--ckpt_path", "foreign.ckpt")


def test_checkpoint_makes_nothing_be_downloaded(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr("torch.hub.urlopen", lambda *address, **settings: asked.append(address))
    settings = {"stem": "imagenet", "weights": "IMAGENET1K_V1", "download": True}
    foreign = naming(run, "backbone", {"class_path": "sbn_lightning.ResNet18", "init_args": settings})
    with pytest.raises(UsageError, match="do not fit the model"):  # it holds another backbone's weights
        Classifier.load_from_checkpoint(foreign)
    assert not asked


def test_own_classes_are_loaded_once_they_are_imported(
    fit_digits: Callable[..., Path], planted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    last = fit_digits("--model.head", f"{OWN_MODULE}.Evil", "--trainer.max_epochs", "1") / "checkpoints/last.ckpt"
    assert type(Classifier.load_from_checkpoint(last).head).__name__ == "Evil"
    monkeypatch.delitem(sys.modules, OWN_MODULE)
    with pytest.raises(ValueError, match="a class of your own is found once you have imported its module"):
        Classifier.load_from_checkpoint(last)


def test_arguments_given_in_python_stand_in_for_what_the_checkpoint_names(run: Path, planted: Path) -> None:
    own = Classifier.load_from_checkpoint(run / "checkpoints/last.ckpt")
    foreign = naming(run, "head", {"class_path": f"{OWN_MODULE}.Evil"})
    loaded = Classifier.load_from_checkpoint(foreign, head=lambda num_features, num_classes: own.head)
    assert loaded.head is own.head


def test_file_object_and_texts_with_dots_are_loaded(run: Path) -> None:
    foreign = naming(run, "note", "resnet18.a1_in1k")
    with foreign.open("rb") as file:
        model = Classifier.load_from_checkpoint(file, map_location="cpu")
    assert model.head.norm.scale == 3.0


def test_damaged_bytes_of_a_weight_are_noticed(run: Path, answer: Answer) -> None:
    last = run / "checkpoints/last.ckpt"
    with zipfile.ZipFile(last) as archive:
        largest = max(archive.infolist(), key=lambda member: member.file_size)
    content = bytearray(last.read_bytes())
    content[largest.header_offset + 200 + largest.file_size // 2] ^= 4
    last.write_bytes(content)
    assert "is damaged" in answer("test", "--config", "run")


def test_compressed_checkpoint_is_refused_before_it_fills_the_memory(run: Path, answer: Answer) -> None:
    last = run / "checkpoints/last.ckpt"
    with zipfile.ZipFile(last) as archive:
        members = {member.filename: archive.read(member) for member in archive.infolist()}
    with zipfile.ZipFile(last, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    assert "is not a checkpoint that can be loaded safely: it is compressed" in answer("test", "--config", "run")


def test_state_that_cannot_be_restored_names_the_checkpoint(run: Path, answer: Answer) -> None:
    stored = stored_in(run)
    stored["processes"][0]["random"]["numpy"] = []
    torch.save(stored, run / "checkpoints/last.ckpt")
    said = answer("fit", "--config", "run", "--ckpt_path", "last", "--trainer.max_epochs", 2)
    assert "last.ckpt cannot be used: the state of its training is damaged" in said


def test_disk_without_room_is_not_blamed_on_the_checkpoint() -> None:
    with pytest.raises(OSError, match="No space left"), Restoring("last.ckpt").named():
        raise OSError(28, "No space left on device")


def test_checkpoint_for_other_classes_is_refused_with_the_difference(run: Path, answer: Answer) -> None:
    stored = stored_in(run)
    stored["state_dict"]["head.linear.weight"] = torch.zeros(100, 16)
    torch.save(stored, run / "checkpoints/last.ckpt")
    difference = "head.linear.weight is of shape (100, 16) there and of shape (10, 16) here"
    assert difference in answer("test", "--config", "run")
