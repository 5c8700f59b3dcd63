"""The rules behind a report's numbers, in the report's own words."""

from sbn_lightning.report.statistics import FEWEST_PAIRS

HOW_TO_READ = (
    "Accuracy is that of the last epoch on the whole test set, in percent: mean ± sample standard deviation (n − 1) "
    "over the seeds, in brackets their number. Nothing was chosen by looking at the test set.",
    "Ours − paper: 95 % interval by Student's t from the pooled standard deviation of our runs and the paper's. "
    "The paper says neither what its ± is (taken to be the sample standard deviation, n − 1) nor which epoch it "
    "reports (here: the last); another meaning of either would change these differences.",
    "Head − softmax: 95 % interval, paired by seed if both have the same seeds, at least "
    f"{FEWEST_PAIRS} of them, and a correlation over the seeds that is above 0 at the one-sided 5 % level; else "
    "Welch's with Satterthwaite's degrees of freedom. With fewer seeds a correlation cannot be shown.",
    "Detectable: the smallest true difference from softmax that as many runs find with 80 % power at the two-sided 5 % "
    "level (noncentral t, pooled standard deviation; of the seeds' differences where they are paired), and the runs of "
    "each head that it takes for 1 point. It rests on the same few runs' spread, and is as uncertain as that.",
    "One SBN row is declared before there are results: the one that the grid declares (where it declares none, or "
    "several: scale 0.9), else the only one. Other scales are shown, and not set against softmax: the best of several "
    "would look better than it is.",
    "Intervals are about other seeds on this test set, not about other images.",
    "ECE: expected calibration error, 15 bins of equal width. NLL: mean cross-entropy of the logits that inference "
    "uses, no margin. Refitted: the logits times one scale, fitted by NLL on one random half of the test set and "
    "measured on the other, both ways; this uses test labels, and tells how much of the miscalibration is one wrong "
    "scale.",
    "Best − last: by how many points the best test epoch exceeds the last one, on average: what choosing the epoch on "
    "the test set would have flattered.",
    "Minutes: training alone, mean over the runs, by the clock: runs that shared cores or a GPU (--jobs) took longer "
    "for it. Peak memory: the highest of the runs; allocated on a GPU, else resident.",
)
