"""The measures, against torchmetrics and scikit-learn, and in parts."""

import pytest
import torch
from sklearn.metrics import balanced_accuracy_score, f1_score
from torch import Tensor
from torchmetrics import MeanMetric
from torchmetrics.classification import MulticlassAccuracy, MulticlassCalibrationError

from sbn_lightning.metrics import StageMetrics
from sbn_lightning.run.measures import MEASURES, shown_in

C = 7
Batch = tuple[Tensor, Tensor, Tensor]


def random_batches(classes: int = C, sizes: tuple[int, ...] = (25, 25, 10), scale: float = 3.0) -> list[Batch]:
    """(loss, logits, labels) of batches of different size, with logits that know something of the labels."""
    generator = torch.Generator().manual_seed(0)
    batches = []
    for size in sizes:
        labels = torch.randint(0, classes, (size,), generator=generator)
        logits = torch.randn(size, C, generator=generator)
        logits[range(size), labels] += 1
        batches.append((torch.rand((), generator=generator), scale * logits, labels))
    return batches


def measured(batches: list[Batch]) -> StageMetrics:
    metrics = StageMetrics(C)
    for batch in batches:
        metrics.update(*batch)
    return metrics


def together(batches: list[Batch]) -> tuple[Tensor, Tensor]:
    return torch.cat([logits for _, logits, _ in batches]), torch.cat([labels for _, _, labels in batches])


def separate_metrics() -> dict[str, MeanMetric | MulticlassAccuracy | MulticlassCalibrationError]:
    """torchmetrics' own, one for each measure."""
    return {
        "loss": MeanMetric(nan_strategy="disable"),
        "accuracy": MulticlassAccuracy(C, average="micro", validate_args=False),
        "top5_accuracy": MeanMetric(nan_strategy="disable"),
        "calibration_error": MulticlassCalibrationError(C, n_bins=15, validate_args=False),
    }


def update_separate(metrics: dict, batch: Batch) -> None:
    loss, logits, labels = batch
    metrics["loss"].update(loss.expand(len(labels)))
    metrics["accuracy"].update(logits, labels)
    own = logits.gather(1, labels[:, None])
    metrics["top5_accuracy"].update(((logits > own).sum(1) < 5).float())
    metrics["calibration_error"].update(logits.softmax(1), labels)


def test_each_measure_of_the_table_is_computed() -> None:
    batches = random_batches()
    logits, labels = together(batches)
    values = measured(batches).compute()
    assert list(values) == [measure.name for measure in MEASURES] + ["images", "correct"]
    assert (values["images"].item(), values["correct"].item()) == (60, int((logits.argmax(1) == labels).sum()))
    assert not values["correct"].is_floating_point()
    assert [measure.name for measure in shown_in("batch")] == ["accuracy", "loss"]


@pytest.mark.parametrize("scale", [0.3, 3.0, 100.0])  # the last with confidences of exactly 1
def test_values_are_those_of_torchmetrics(scale: float) -> None:
    batches, separate = random_batches(sizes=(128,) * 11 + (29,), scale=scale), separate_metrics()
    for batch in batches:
        update_separate(separate, batch)
    values = measured(batches).compute()
    for name, metric in separate.items():
        assert values[name] == pytest.approx(metric.compute().item(), rel=1e-6), name


@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true")
@pytest.mark.parametrize("classes", [C, 3])  # with 3, four classes have no image but are predicted
def test_balanced_accuracy_and_macro_f1_are_scikit_learns(classes: int) -> None:
    batches = random_batches(classes)
    logits, labels = together(batches)
    values = measured(batches).compute()
    assert values["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(labels, logits.argmax(1)), abs=1e-6)
    assert values["macro_f1"] == pytest.approx(f1_score(labels, logits.argmax(1), average="macro"), abs=1e-6)


def test_processes_parts_are_added_up_exactly() -> None:
    batches = random_batches()
    whole, part = measured(batches).compute(), measured(batches[:1])
    part.merge_state(measured(batches[1:]))  # as between processes: every state is a sum
    for name, value in part.compute().items():
        tolerance = 1e-6 if name in ("loss", "calibration_error") else 0  # these are sums of fractions
        assert value == pytest.approx(whole[name].item(), rel=tolerance), name


@pytest.mark.parametrize("limit", [1, 300, 1 << 20])
def test_counts_do_not_depend_on_when_they_are_counted(limit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    batches = random_batches(sizes=(25,) * 8)
    once, saved = measured(batches), StageMetrics(C)
    monkeypatch.setattr("sbn_lightning.metrics.COUNTED_AT_ONCE", limit)
    for number, batch in enumerate(batches):
        saved.update(*batch)
        if number == 2:
            assert saved.metric_state["counts"].sum() > 0  # as a checkpoint within the epoch does
    for name, state in saved.metric_state.items():
        assert torch.equal(state, once.metric_state[name]), name


def test_each_measure_is_of_all_images_at_any_time() -> None:
    batches = random_batches()
    metrics = measured(batches)
    for name, value in measured(batches).compute().items():
        if callable(method := getattr(metrics, name)):
            assert method() == value, name


def test_top5_of_three_classes_is_always_right() -> None:
    metrics = StageMetrics(3)
    metrics.update(torch.tensor(0.0), torch.eye(3), torch.tensor([1, 2, 0]))
    assert metrics.compute()["top5_accuracy"] == 1
    assert metrics.compute()["accuracy"] == 0


def test_measures_are_exact_in_a_step_of_16_bits() -> None:
    batches = random_batches()
    torch.set_default_dtype(torch.bfloat16)  # as Lightning does within a step of precision bf16-true
    try:
        metrics = measured(batches)
    finally:
        torch.set_default_dtype(torch.float32)
    values = metrics.compute()
    for name, value in measured(batches).compute().items():
        assert values[name] == pytest.approx(value.item(), rel=1e-6), name


def test_sums_are_exact_in_a_model_of_16_bits() -> None:
    metrics = StageMetrics(C).to(torch.bfloat16)
    batches = random_batches(sizes=(128,) * 8)
    for loss, logits, labels in batches:
        metrics.update(loss.bfloat16(), logits.bfloat16(), labels)
    mean = sum(loss.bfloat16().float().item() for loss, _, _ in batches) / len(batches)
    assert metrics.compute()["loss"] == pytest.approx(mean, rel=1e-6)  # bfloat16 has 8 bits: 1024 images are 256 to it
