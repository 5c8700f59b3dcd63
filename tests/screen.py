"""What a person sees on a terminal, from what a program has written to it."""

import re

CONTROL = re.compile(r"\x1b\[([0-9;?]*)([A-Za-z])")


def screen(written: str) -> tuple[list[str], list[str]]:
    """Return the lines of a terminal at the end, and all lines that were erased again, in their order.

    Knows what rich uses: to go up, to erase a line, to return to its start; colors and the cursor change nothing.
    """
    lines, row, column, erased = [""], 0, 0, []
    for part in re.split(r"(\x1b\[[0-9;?]*[A-Za-z]|[\r\n])", written):
        control = CONTROL.fullmatch(part)
        if part == "\n":
            row, column = row + 1, 0
            lines += [""] * (row == len(lines))
        elif part == "\r":
            column = 0
        elif control and control[2] == "A":
            row -= int(control[1])
        elif control and control[2] == "K":
            erased += [lines[row]] if lines[row] else []
            lines[row] = ""
        elif not control:
            lines[row] = lines[row][:column].ljust(column) + part + lines[row][column + len(part) :]
            column += len(part)
    return [line.rstrip() for line in lines], erased
