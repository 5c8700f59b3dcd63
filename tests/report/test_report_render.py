"""How the parts of a report become text."""

import re

import pytest

from sbn_lightning.figures import DARK
from sbn_lightning.report.render import ESCAPES, Bullets, Fold, Picture, Table, Text, escape_latex, inline, rendered

BLOCKS = [
    Text("title", "A & B"),
    Text("paragraph", "5 %\n< 6 %"),
    Bullets([("a_b", "1"), ("", "c|d")]),
    Table("T_1", ["", "x|y"], [["r", "<1>"]], ["n_1"], "one"),
    Picture("p_1", "P", "<svg></svg>"),
    Fold("More", [Text("paragraph", "hidden")]),
    Text("listing", "a <b>\n  c"),
    Text("section", "End"),
]


def test_markdown() -> None:
    assert rendered(BLOCKS, "md") == (
        "# A & B\n\n5 % \\< 6 %\n\n- **a\\_b** 1\n- c\\|d\n\n**T\\_1**\n\n|  | x\\|y |\n|---|--:|\n| r | \\<1\\> |\n\n"
        "- n\\_1\n\n"
        '<picture><source media="(prefers-color-scheme: dark)" srcset="figures/p_1_dark.svg">\n'
        '<img src="figures/p_1.svg" alt="P"></picture>\n\n*P*\n\n'
        "<details><summary>More</summary>\n\nhidden\n\n</details>\n\n    a <b>\n      c\n\n## End\n"
    )


def test_latex() -> None:
    text = rendered(BLOCKS, "tex")
    assert escape_latex("± {x}") == r"$\pm$ \{x\}"
    assert "\\section{A \\& B}\n\n5 \\% $<$ 6 \\%\n\n\\begin{itemize}\n  \\item \\textbf{a\\_b} 1\n" in text
    assert "  \\item c$|$d\n\\end{itemize}\n" in text
    assert "\\caption{T\\_1}\n\\label{tab:one}\n" in text
    assert "\\toprule\n & x$|$y \\\\\n\\midrule\n\\raggedright r & $<$1$>$ \\\\\n" in text
    assert "n\\_1\n\\end{table}" in text
    assert "\\includegraphics[width=0.7\\linewidth]{figures/p_1.pdf}\n\\caption{P}\n\\label{fig:p_1}\n" in text
    assert "a $<$b" not in text  # listings and what is folded are for pages
    assert "hidden" not in text


def test_page() -> None:
    text = rendered(BLOCKS, "html")
    assert "<title>A &amp; B</title>" in text
    assert "<h1>A &amp; B</h1>" in text
    assert "<td><span>&lt;1&gt;</span> </td>" in text
    assert "<pre>a &lt;b&gt;\n  c</pre>" in text
    assert '<h2 id="end">End</h2>' in text


def test_headings_that_read_alike_have_links_of_their_own() -> None:
    titles = ("d, A", "d, a!", "e", "f")
    text = rendered([Text("title", "T"), *(Text("section", title) for title in titles)], "html")
    assert re.findall(r' href="#(.*?)"', text) == re.findall(r' id="(.*?)"', text) == ["d-a", "d-a.1", "e", "f"]


@pytest.mark.parametrize("suffix", ESCAPES)
def test_text_that_looks_like_a_template_stays_text(suffix: str) -> None:
    assert "1 + 1" in rendered([Text("title", "{{ 1 + 1 }}")], suffix)


def test_names_within_a_picture_become_its_own() -> None:
    svg = '<?xml version="1.0"?>\n<svg width="3pt" height="2pt" viewBox="0 0 3 2">\n<path id="p"/>'
    svg += '<use xlink:href="#p" clip-path="url(#p)"/></svg>'
    shown = inline(Picture("name", "a < b", svg))
    assert shown.startswith('<svg role="img" aria-label="a &lt; b" viewBox="0 0 3 2">')
    assert shown.count("name-p") == 3


def test_figures_of_a_page_have_its_colors_which_change_with_the_background() -> None:
    picture = Picture("p", "P", '<svg><path style="fill: #0072b2; stroke: #123456"/></svg>')
    page = rendered([Text("title", "T"), picture], "html")
    assert 'style="fill: var(--figure-0072b2); stroke: #123456"' in page
    light, dark = re.findall(r"--figure-0072b2: (#\w+);", page)
    assert (light, dark) == ("#0072b2", DARK["#0072b2"])
    assert page.index(f"--figure-0072b2: {dark}") > page.index("@media (prefers-color-scheme: dark) { :root { --figure")


def test_a_table_that_may_be_wider_than_a_phone_says_that_it_scrolls() -> None:
    for columns in (2, 3, 5):
        page = rendered([Text("title", "T"), Table("", ["x"] * columns, [])], "html")
        assert ("The table scrolls to the right." in page) == (columns > 2)
