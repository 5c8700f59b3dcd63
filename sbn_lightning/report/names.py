"""What tables and rows are called in a report."""

from collections.abc import Sequence

from sbn_lightning.report.records import Data

SHORT_NAMES = {
    "SoftmaxHead": "softmax",
    "ScaledBatchNormHead": "SBN",
    "AMSoftmaxHead": "AM-Softmax",
    "PEDCCHead": "PEDCC-Loss",
}
ALWAYS_NAMED = ("scale", "margin")
"""Settings that a row's name tells even where all rows of the head agree on them."""


def titles(facts: Sequence[Data]) -> list[tuple[str, str]]:
    """Dataset and backbone of each table; with what tells them apart where two would read the same."""
    names = [(fact["data"]["name"], fact["model"]["backbone"]["name"]) for fact in facts]
    shown = []
    for fact, (dataset, backbone) in zip(facts, names, strict=True):
        if names.count((dataset, backbone)) > 1:
            settings = fact["model"]["backbone"]["settings"]
            dataset = f"{dataset} ({fact['data']['classes']} classes)"
            backbone += f" ({', '.join(f'{key}={value}' for key, value in settings.items())})" if settings else ""
        shown.append((dataset, backbone))
    return shown


def name_of(head: Data, alike: Sequence[Data]) -> str:
    """A head's short name with its scale, its margin, and whatever else differs between the rows of that head."""
    settings = head["settings"]
    told = [
        f"{key} {value:g}" if isinstance(value, float) else f"{key} {value}"
        for key, value in settings.items()
        if key in ALWAYS_NAMED or any(other.get(key) != value for other in alike)
    ]
    return ", ".join([SHORT_NAMES.get(head["name"], head["name"].removesuffix("Head")), *told])
