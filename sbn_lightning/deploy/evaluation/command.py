"""`sbn evaluate`: a page and a JSON file that show how well trained networks do, and what they take for what."""

import os
import platform
import shlex
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Literal

import msgspec

from sbn_lightning.deploy.evaluation.answering import Answered
from sbn_lightning.deploy.evaluation.answers import Answers
from sbn_lightning.deploy.evaluation.comparison import compare
from sbn_lightning.deploy.evaluation.judgement import EvaluatedOn, Evaluation, Network, judge
from sbn_lightning.deploy.evaluation.labelled import FolderImages, LabelledImages, RunImages, Split
from sbn_lightning.deploy.evaluation.page import Pixels, page_of_one, summary
from sbn_lightning.deploy.evaluation.page_of_two import comparison_sentence, page_of_two
from sbn_lightning.deploy.trained import Trained, open_trained
from sbn_lightning.errors import UsageError, counted, named, printable
from sbn_lightning.report.command import opened
from sbn_lightning.report.names import in_brackets
from sbn_lightning.report.render import rendered
from sbn_lightning.run.files import EVALUATION, FINISHED, LAST, sha256_of, whole_file
from sbn_lightning.run.records import now, write_record
from sbn_lightning.terminal import Row, show

PACKAGES = ("sbn-lightning", "torch")
PAGE, NUMBERS = "evaluation.html", "evaluation.json"


def evaluate(
    *,
    config: list[Path] | None = None,
    images: Path | None = None,
    split: Split = "test",
    out: Path | None = None,
    ckpt_path: str = "last",
    root: Path | None = None,
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto",
) -> None:
    """Show how accurate a trained model is, whether its probabilities can be believed, and which classes it confuses.

        sbn evaluate --config runs/birds
        sbn evaluate --config runs/birds --images other_birds
        sbn evaluate --config runs/softmax runs/sbn

    Writes a page that needs no other file, evaluation.html, and all of its numbers, evaluation.json. Of two runs, both
    are on one page, with the images that only one of them has right.

    Args:
        config: The folder of a trained run, or a checkpoint; or two of them, to compare them on the same images.
        images: A folder that contains a folder of images for each class. Without this option a split of the run's data
            is taken.
        split: The split: test, or val for the validation images.
        out: The folder to write into; default: RUN/evaluation, with the name of what else is evaluated.
        ckpt_path: Of a run: last, best or a file.
        root: The folder of the run's data, if it has moved.
        device: What computes; auto is a GPU if there is one.

    Raises:
        UsageError: If there is no such model, or no image that it could be right about, or the files must not or cannot
            be written.
    """
    if not config or len(config) > 2:
        raise UsageError(
            f"sbn evaluate takes one trained model or two, and not {len(config or [])}: sbn evaluate --config RUN, "
            "with a run's folder"
        )
    if images and root:
        raise UsageError("--root is the folder of the run's own data; leave it out, or leave out --images")
    if len(set(config)) < len(config):
        raise UsageError(f"{config[0]} is named twice; name two different runs or checkpoints")
    if len(config) == 2 and ckpt_path not in ("last", "best"):
        raise UsageError(f"--ckpt-path {ckpt_path} would be both models; name two checkpoints: --config A.ckpt B.ckpt")
    networks = [open_trained(one, ckpt_path, device) for one in config]
    names = names_of(config, networks)
    out = out or default_folder(networks, images, split)
    check_out(out)
    sources = sources_of(networks, images, split, root)
    show(*(("Checkpoint", str(trained.checkpoint)) for trained in networks), ("Images", sources[0].name))
    found = [source.answered() for source in sources]
    check_same_images(found)
    held_out = [source.held_out() for source in sources]
    evaluation = Evaluation(
        version=1,
        command=shlex.join(["sbn", *sys.argv[1:]]),
        made=now(),
        versions={name: version(name) for name in PACKAGES} | {"python": platform.python_version()},
        data=data_facts(networks, sources, found),
        networks=[
            judge(one.answers, network_facts(trained, name), one.names, other.answers if other else None)
            for one, trained, name, other in zip(found, networks, names, held_out, strict=True)
        ],
        comparison=compare(found[0].answers, found[1].answers, found[0].names) if len(found) == 2 else None,
    )
    page, result = page_and_result(evaluation, [one.answers for one in found], sources[0].pixels)
    write_record(out / NUMBERS, evaluation)
    with whole_file(out / PAGE) as stream:
        stream.write(page)
    show(*result, ("Written", f"{out}/: {PAGE}, {NUMBERS}"), opened(out / PAGE))


def page_and_result(evaluation: Evaluation, answers: Sequence[Answers], pixels: Pixels) -> tuple[str, list[Row]]:
    """Return the page, and the rows that the terminal shows."""
    verdicts = [(judged.network.name, summary(judged)) for judged in evaluation.networks]
    remarks = [("Note", remark) for remark in evaluation.data.remarks]
    if evaluation.comparison is None:
        blocks = page_of_one(evaluation, answers[0], pixels)
        return rendered(blocks, "html"), [("Result", verdicts[0][1]), *remarks]
    blocks = page_of_two(evaluation, answers, pixels)
    said = [("", f"{name}: {text}") for name, text in verdicts]
    return rendered(blocks, "html"), [
        ("Result", comparison_sentence(evaluation.networks, evaluation.comparison)),
        *said,
        *remarks,
    ]


def sources_of(
    networks: Sequence[Trained], images: Path | None, split: Split, root: Path | None
) -> Sequence[LabelledImages]:
    """Return where the images of each network come from."""
    if images is None:
        return [RunImages(trained, split, root) for trained in networks]
    known = [set(trained.data.class_names) for trained in networks]
    shared = [name for name in networks[0].data.class_names if all(name in names for names in known)]
    return [FolderImages(trained, images, shared) for trained in networks]


def check_same_images(found: Sequence[Answered]) -> None:
    """Raise a UsageError if two networks did not answer the same images."""
    shown = [(one.names, [one.answers.class_names[label] for label in one.answers.labels]) for one in found]
    if any(other != shown[0] for other in shown):
        raise UsageError(
            "the two runs have different images or labels, so that their answers cannot be compared; name a folder of "
            "images for both with --images DIR"
        )


def data_facts(
    networks: Sequence[Trained], sources: Sequence[LabelledImages], found: Sequence[Answered]
) -> EvaluatedOn:
    """Return what is said of the images, and of how the networks answer."""
    said = [*(source.remarks for source in sources), *(trained.remarks() for trained in networks)]
    remarks = list(dict.fromkeys(remark for remarks in said for remark in remarks))
    errors = list(map(printable, found[0].errors))
    if errors:
        verb = "is" if len(errors) == 1 else "are"
        remarks.append(f"{counted(len(errors), 'file')} could not be read and {verb} left out: {named(errors)}.")
    return EvaluatedOn(sources[0].name, len(found[0].names), sources[0].fingerprint, remarks, errors)


def network_facts(trained: Trained, name: str) -> Network:
    """Return which network it is."""
    model = trained.results.model
    title = f"{model.backbone.name} with {model.head.title}" if model else ""
    return Network(name, title, str(trained.checkpoint), sha256_of(trained.checkpoint))


def names_of(config: Sequence[Path], networks: Sequence[Trained]) -> list[str]:
    """Return a short name for each network; the names are different."""
    names = [(trained.run_dir or trained.checkpoint).resolve().name for trained in networks]
    if len(set(names)) < len(names):
        names = [str(path) for path in config]
    return [printable(name) + in_brackets(other_than_last(one)) for name, one in zip(names, networks, strict=True)]


def other_than_last(trained: Trained) -> list[str]:
    """Return the name of the checkpoint if it is not the last one of its run."""
    if trained.run_dir and not trained.is_of_run:
        return [printable(str(trained.checkpoint))]
    return [trained.checkpoint.stem] if trained.run_dir and trained.checkpoint.name not in (LAST, FINISHED) else []


def default_folder(networks: Sequence[Trained], images: Path | None, split: Split) -> Path:
    """Return the folder to write into: in the run's folder, or beside the second of two runs."""
    first, last = networks[0], networks[-1]
    for trained in networks:
        if trained.run_dir and not trained.is_of_run:
            raise UsageError(
                f"{trained.checkpoint} is not of the run {trained.run_dir}; name the folder to write into with --out "
                "DIR"
            )
    names = [(trained.run_dir or trained.checkpoint).resolve().stem for trained in networks]
    of_two = ["of", names[0], "and", names[1]] if len(networks) == 2 else []
    parent = last.run_dir.parent if of_two and last.run_dir else first.run_dir or Path()
    of_images = [images.resolve().name] if images else [split] if split != "test" else []
    return parent / "_".join([EVALUATION, *of_two, *of_images, *other_than_last(first)])


def check_out(out: Path) -> None:
    """Refuse to replace a file that `sbn evaluate` has not written."""
    if out.exists() and not out.is_dir():
        raise UsageError(f"--out {out} is a file; name a folder")
    there = next(folder for folder in (out.absolute(), *out.absolute().parents) if folder.exists())
    if not os.access(there, os.W_OK):
        raise UsageError(f"{there} cannot be written; name another folder with --out DIR")
    if any((out / name).exists() for name in (PAGE, NUMBERS)):
        try:
            msgspec.json.decode((out / NUMBERS).read_bytes(), type=Evaluation)
        except (OSError, msgspec.MsgspecError) as error:
            raise UsageError(
                f"{out} holds an {PAGE} or {NUMBERS} that sbn evaluate did not write; move it away, or name another "
                "folder with --out DIR"
            ) from error
