"""What a model card says of the model: how good it is, what it was trained on, what it is and where it comes from."""

from collections.abc import Mapping
from datetime import datetime, timezone

from sbn_lightning.deploy.trained import Trained
from sbn_lightning.errors import counted
from sbn_lightning.report.protocol import protocol
from sbn_lightning.run.interval import interval_text
from sbn_lightning.run.records import Evaluation

Rows = list[tuple[str, str]]


def quality(trained: Trained, digest: str) -> Rows:
    """Accuracy and calibration, as they were measured for the checkpoint of this SHA-256."""
    found = evaluation_of(trained, digest)
    if found is None:
        advice = "sbn test measures it on the test set, and sbn evaluate on any images; export again afterwards"
        return [("Accuracy", f"not measured: the run's folder has no test of this checkpoint; {advice}")]
    where = f"{found.images:,} {'test' if found.stage == 'test' else 'held-out'} images"
    where += f", a part of {found.available:,}" if found.is_partial else ""
    share = f"{100 * found.correct / found.images:.1f} % ({interval_text(found.correct, found.images)})"
    rows = [("Accuracy", f"{share}: {found.correct:,} right of {where}")]
    if (balanced := found.metrics.get("balanced_accuracy")) is not None:
        rows.append(("Balanced accuracy", f"{100 * balanced:.1f} %, the mean over the classes"))
    if (error := found.metrics.get("calibration_error")) is not None:
        text = (
            f"the probabilities differ from the share of right answers by {100 * error:.1f} % on average (expected "
            "calibration error on the same images, 15 bins, without a temperature)"
        )
        if found.calibrated:
            text += f". By chance, exact probabilities would show {100 * found.calibrated.calibration_error:.1f} %"
        if found.refitted:
            better = f"{100 * found.refitted.calibration_error:.1f} %"
            text += f". With a temperature, the error would be {better} (cross-fitted)"
        rows.append(("Calibration", text))
    return rows


def evaluation_of(trained: Trained, digest: str) -> Evaluation | None:
    """Return the recorded evaluation of exactly this checkpoint; on the whole test set, if there is one."""
    recorded = trained.results.evaluations.values()
    found = [one for one in recorded if one.sha256 == digest and one.data in (None, trained.data.fingerprint)]
    return min(found, key=lambda one: (one.stage != "test", one.is_partial), default=None)


def training(trained: Trained) -> Rows:
    """The data."""
    facts, data = trained.results.data, trained.data
    splits = facts.images if facts else data.images
    names = {"train": "training", "val": "held-out", "test": "test"}
    images = ", ".join(f"{count:,} {names.get(split, split)} images" for split, count in splits.items())
    rows = [("Images", images)]
    if facts:
        rows = [("Data", f"{facts.name}, {counted(len(data.class_names), 'class', 'es')}"), *rows]
        if (small := facts.smallest_class) and (large := facts.largest_class):
            few, many = small.training_images, large.training_images
            numbers = f"from {few:,} to {many:,}" if few < many else f"{few:,}"
            rows.append(("Balance", f"{numbers} training images in {'a' if few < many else 'each'} class"))
    rows.append(("Fingerprint", data.fingerprint))
    return rows


def network(trained: Trained) -> Rows:
    """Backbone, head, its equation, and how they were trained."""
    results = trained.results
    backbone, head = trained.classifier.backbone, trained.classifier.head
    weights = sum(parameter.numel() for parameter in trained.classifier.parameters())
    settings = results.model.head.settings if results.model else {}
    equation = (
        "logits = (W·e + b) / temperature, with e = embed(backbone(x)); W and b contain the normalization, scale and "
        "running statistics of the head; probabilities = softmax(logits)"
    )
    rows = [
        ("Backbone", f"{type(backbone).__name__}, {trained.classifier.head.num_features} features"),
        (
            "Head",
            ", ".join([head.title or type(head).__name__, *(f"{name} {value}" for name, value in settings.items())]),
        ),
        ("Inference", equation),
        ("Parameters", f"{weights:,} in training"),
    ]
    if results.data and results.model and results.training:
        rows.append(("Training", protocol(results.data, results.model.backbone, results.training, results.fit)))
    return rows


def origin(trained: Trained, metadata: Mapping[str, str]) -> Rows:
    """Versions, commit, dates and licence."""
    results = trained.results
    trained_with = ", ".join(f"{name} {version}" for name, version in results.versions.items() if version)
    ended = results.fit.ended if results.fit else None
    exported_with = f"sbn-lightning {metadata['sbn_lightning_version']}, torch {metadata['torch_version']}"
    rows = [
        ("Exported", f"on {datetime.now(timezone.utc):%Y-%m-%d} with {exported_with}"),
        ("Trained", " ".join(filter(None, [ended and f"on {ended[:10]}", trained_with and f"with {trained_with}"]))),
        ("Commit of the training", metadata["commit"]),
        ("Checkpoint", f"{trained.checkpoint.name}, SHA-256 {metadata['checkpoint_sha256']}"),
        (
            "Licence of the weights",
            "not stated here: it depends on the images and pretrained weights that they were trained with, and is for "
            "those who trained them to say",
        ),
    ]
    return [(name, text) for name, text in rows if text]
