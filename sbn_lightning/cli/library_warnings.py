"""What users see of the warnings of libraries: nothing of those that are expected, and others without the library's
code; in our words, where the library's own tell of Python classes that a user of `sbn` does not know."""

import re
import warnings

from sbn_lightning.terminal import warning_text

EXPECTED = (
    ".*LeafSpec.*",  # Lightning's own code on torch 2.15
    "You requested to overfit but enabled .* shuffling",  # our loaders keep the order themselves
    "You're using the WeightAveraging callback, but loading",  # evaluation takes the averaged weights
    ".*callbacks used to create the checkpoint",  # evaluation saves nothing
    "TensorFloat32 tensor cores",  # heads are computed in full float32
    "Checkpoint directory .* exists and is not empty",  # a run that continues
    "The `srun` command is available",  # a hint meant for whole clusters
    "The number of training batches .* is smaller than the logging interval",  # epochs do not matter; see TrainingPlan
    "The provided params to be frozen already exist",  # BackboneFinetuning trains batch normalization from the start
    "[GT]PU available but not used",  # the command asks for another device, and the start says which
    "When using the `ThroughputMonitor`, you need to define a `flops_per_batch`",  # it measures images per second
    r"Detected call of `lr_scheduler.step\(\)` before",  # with 16-mixed, whose scaler skips the first steps
    r"The epoch parameter in `scheduler.step\(\)` was not necessary",  # torch's own code, in SequentialLR
    "Grad strides do not match bucket view strides",  # channels_last on several GPUs
)
"""The starts of warnings, as regular expressions, about what is intended."""
IN_OUR_WORDS = {
    r"You passed `Trainer\(accelerator='cpu', precision='16-mixed'\)`": (
        "precision 16-mixed needs a GPU; on this CPU, bf16-mixed is used instead"
    ),
    "You passed `deterministic=True` and `benchmark=True`": (
        "with --trainer.benchmark true, convolutions on a GPU are not deterministic; set it to false"
    ),
    "`max_epochs` was not set": "no end is set, so 1,000 epochs are trained; set --trainer.max_epochs (-1 for no end)",
    r"Glyph \d+ .* missing from": (
        "figures draw the letters of a name as boxes, since no font here has them; install one, such as Noto Sans CJK"
    ),
}
"""{the start of a warning, as a regular expression: what is shown instead}."""


def show_in_our_words() -> None:
    """Let each warning be shown once, as a row of text, unless it is expected."""
    for pattern in EXPECTED:
        warnings.filterwarnings("ignore", pattern)
    shown: set[str] = set()

    def once(message: Warning | str, *place: object, **line: object) -> str:
        ours = (text for pattern, text in IN_OUR_WORDS.items() if re.match(pattern, str(message)))
        text = next(ours, str(message))
        if text in shown:
            return ""
        shown.add(text)
        return warning_text(text)

    warnings.formatwarning = once
