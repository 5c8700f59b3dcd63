"""Any config file at all: it is taken, or refused in one line; nothing is written but in the run's folder."""

import contextlib
import copy
import io
import os
import random
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from sbn_lightning.cli import commands
from sbn_lightning.cli.trainer import TrainerCLI
from tests.soak.changed_configs import changed as changed_text
from tests.soak.changed_configs import whole

EXAMPLES = int(os.environ.get("SBN_FUZZ_EXAMPLES", "12"))
GOOD: dict[str, Any] = yaml.safe_load("""
seed_everything: 0
run_dir: null
ckpt_path: null
weights_only: true
chance_level: {epochs: 3}
trainer:
  {max_epochs: 2, max_steps: -1, log_every_n_steps: 10, devices: 1, accelerator: cpu, strategy: auto, precision: 32,
  num_nodes: 1, limit_train_batches: null, accumulate_grad_batches: 1, gradient_clip_val: null,
  enable_progress_bar: false, enable_checkpointing: null, logger: null, default_root_dir: null,
  callbacks: [{class_path: LogitHistogram, init_args: {bins: 10}}]}
optimizer: {class_path: torch.optim.SGD, init_args: {lr: 0.02, momentum: 0.9}}
lr_scheduler: {class_path: torch.optim.lr_scheduler.MultiStepLR, init_args: {milestones: [1], gamma: 0.1}}
model:
  backbone: {class_path: SmallCNN, init_args: {width: 4}}
  head: {class_path: ScaledBatchNormHead, init_args: {scale: 3.0, eps: 0.00001}}
data:
  class_path: Digits
  init_args: {batch_size: 128, validation_fraction: 0.0, crop_padding: 1, horizontal_flip: false}
""")


def paths(tree: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where something stands in nested dicts and lists."""
    for key in tree if isinstance(tree, dict) else range(len(tree)) if isinstance(tree, list) else ():
        yield (*above, key)
        yield from paths(tree[key], (*above, key))


SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.sampled_from(
        [10**30, -(10**30), 1e308, float("nan"), float("inf"), "", "Ω", "a\nb", "null", "[", "!!python/name:os.system"]
    ),
    st.sampled_from(
        ["SoftmaxHead", "SmallCNN", "Digits", "torch.nn.Linear", "os.system", "..", "a.b.c", "torch", "-1", "auto"]
    ),
    st.text(max_size=5),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(["class_path", "init_args", "scale", "bins", "lr", "", "é"]) | SCALARS, inner, max_size=3
        ),
    ),
    max_leaves=4,
)
CHANGES = st.lists(
    st.tuples(st.sampled_from(["set", "delete", "add"]), st.sampled_from(list(paths(GOOD))), VALUES),
    min_size=1,
    max_size=2,
)


def changed(changes: list[tuple[str, tuple[Any, ...], Any]]) -> str:
    """The good config with something else at some places."""
    config = copy.deepcopy(GOOD)
    for kind, (*parents, last), value in changes:
        with contextlib.suppress(KeyError, IndexError, TypeError, AttributeError):  # an earlier change took it away
            place: Any = config
            for key in parents:
                place = place[key]
            if kind == "delete":
                del place[last]
            else:
                place[last if kind == "set" else "added"] = value
    return yaml.safe_dump(config, allow_unicode=True)


@pytest.fixture
def check(tmp_path: Path, digits_root: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str | bytes], None]:
    """`sbn fit` takes a config, or ends with 2 and one line; it leaves nothing but the config behind."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(TrainerCLI, "run", lambda self: None)  # it stops before its first step

    def check_answer(config: str | bytes) -> None:
        Path("any.yaml").write_bytes(config if isinstance(config, bytes) else config.encode("utf-8", "surrogatepass"))
        said = io.StringIO()
        code = 0
        with warnings.catch_warnings(), contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            try:
                commands.main(["fit", "--config", "any.yaml", "--data.root", str(digits_root)])
            except SystemExit as end:
                code = end.code
        if code:
            lines = [line for line in said.getvalue().splitlines() if line.startswith("sbn: ")]
            assert code == 2
            assert len(lines) == 1, said.getvalue()
            assert said.getvalue().endswith(f"{lines[0]}\n"), said.getvalue()
            assert len(lines[0]) > 10
        assert {path.name for path in tmp_path.rglob("*") if path.is_file()} <= {"any.yaml", "run.lock"}

    return check_answer


QUIET = settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@QUIET
@given(changes=CHANGES)
@example(changes=[("set", ("model", "head", "init_args", "eps"), None)])
@example(changes=[("set", ("data", "init_args", "batch_size"), None)])
@example(changes=[("set", ("chance_level",), None)])
@example(changes=[("set", ("trainer",), [])])
@example(changes=[("set", ("trainer", "strategy"), None)])
@example(changes=[("set", ("trainer", "devices"), -1)])
@example(changes=[("set", ("data",), None)])
@example(changes=[("delete", ("data", "class_path"), None)])
def test_changed_config_is_taken_or_refused_in_one_line(
    changes: list[tuple[str, tuple[Any, ...], Any]], check: Callable[[str | bytes], None]
) -> None:
    check(changed(changes))


@QUIET
@given(
    text=st.one_of(
        st.text(max_size=30),
        st.binary(max_size=30),
        VALUES.map(lambda value: yaml.safe_dump(value, allow_unicode=True)),
    )
)
@example(text=b"seed_everything: \xa2")
@example(text="[" * 20_000)
@example(text="a: &a [*a]")
@example(text="{trainer: &a {callbacks: *a}}")
@example(text="")
@example(text="---\n---\n")
@example(text="!!python/object/apply:os.system ['touch proof']")
@example(text="model: {head: !!python/object/apply:os.system ['touch proof']}")
def test_any_text_is_refused_in_one_line(text: str | bytes, check: Callable[[str | bytes], None]) -> None:
    check(text)


@pytest.mark.parametrize("seed", range(EXAMPLES // 2))
def test_other_classes_and_arguments_are_taken_or_refused_in_one_line(
    seed: int, check: Callable[[str | bytes], None]
) -> None:
    check(changed_text(whole("digits_sbn"), random.Random(seed)))
