"""LaTeX compiles what a report writes, where it is installed."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from sbn_lightning.report.command import report

RECORDS = Path(__file__).parent.parent / "records"
DOCUMENT = r"""\documentclass{article}
\usepackage[T1]{fontenc}
\usepackage{booktabs,graphicx}
\begin{document}
\input{NAME}
See Table~\ref{tab:LABEL} and Figure~\ref{fig:FIGURE}.
\end{document}
"""


@pytest.mark.skipif(not shutil.which("pdflatex"), reason="needs pdflatex")
@pytest.mark.parametrize(
    ("name", "label", "figure"),
    [("report", "digits-smallcnn-accuracy", "digits_smallcnn_forest"), ("compare", "accuracy", "compare_logits")],
)
def test_latex_compiles_and_every_table_fits_the_page(tmp_path: Path, name: str, label: str, figure: str) -> None:
    runs = RECORDS / "digits/digits/SmallCNN"
    report(RECORDS / "digits" if name == "report" else None, out=tmp_path,
           compare=None if name == "report" else (runs / "softmax", runs / "sbn"))  # fmt: skip
    document = DOCUMENT.replace("NAME", name).replace("LABEL", label).replace("FIGURE", figure)
    (tmp_path / "document.tex").write_text(document)
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "document.tex"]
    for _ in range(2):  # the second time, references are known
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace")
        assert done.returncode == 0, done.stdout[-2000:]
    assert "undefined" not in done.stdout
    assert "multiply defined" not in done.stdout
    too_wide = [float(points) for points in re.findall(r"Overfull \\hbox \(([\d.]+)pt too wide\)", done.stdout)]
    assert max(too_wide, default=0) < 5
    assert "Float too large" not in done.stdout
