"""The tables of a report for a LaTeX paper with `\\usepackage{booktabs}`."""

from collections.abc import Iterable

from sbn_lightning.report.document import Block, Bullets, Caution, Heading, Paragraph, Table

SPECIAL = {
    "\\": r"\textbackslash{}",
    "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"$<$", ">": r"$>$", "|": r"$|$",
    "±": r"$\pm$", "−": r"$-$", "×": r"$\times$", "–": "--", "‖": r"$\|$", "≥": r"$\ge$", "·": r"$\cdot$",
    "…": r"\dots{}", "†": r"\dag{}",
}  # fmt: skip
START = r"% Made by sbn report. Needs \usepackage{booktabs} in the preamble; scale what is wider than the page."


def to_latex(blocks: Iterable[Block]) -> str:
    """Headings, warnings and sentences as comments and text; tables as floats."""
    return "\n\n".join([START, *filter(None, map(block_to_latex, blocks))]) + "\n"


def block_to_latex(block: Block) -> str:
    """One part; empty for what only a page shows."""
    match block:
        case Heading(_, text):
            return f"% {' '.join(text.split())}"
        case Caution(text):
            return f"% Warning: {' '.join(text.split())}"
        case Paragraph(text):
            return escape(text)
        case Bullets(items):
            return "\n".join(["\\begin{itemize}", *(f"  \\item {escape(item)}" for item in items), "\\end{itemize}"])
        case Table():
            return table_to_latex(block)
        case _:
            return ""


def table_to_latex(table: Table) -> str:
    """A float with booktabs' rules, its notes below."""
    lines = [" & ".join(map(escape, line)) + r" \\" for line in (table.header, *table.rows)]
    notes = [f"\\par\\smallskip\\footnotesize {escape(note)}" for note in table.notes]
    return "\n".join(
        [
            "\\begin{table}",
            "\\centering\\small",
            f"\\caption{{{escape(table.caption)}}}",
            f"\\begin{{tabular}}{{l{'r' * (len(table.header) - 1)}}}",
            "\\toprule",
            lines[0],
            "\\midrule",
            *lines[1:],
            "\\bottomrule",
            "\\end{tabular}",
            *notes,
            "\\end{table}",
        ]
    )


def escape(text: str) -> str:
    """Text that LaTeX prints as it is."""
    return "".join(SPECIAL.get(letter, letter) for letter in " ".join(text.split()))
