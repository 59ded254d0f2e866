"""The tables of the paper as LaTeX: they compile, whatever their heads and rows are called."""

import shutil
import subprocess

import pytest

from tests.apt import asked_for, lacking
from zz.analysis.render import frame, view
from zz.lab.stats import Interval
from zz.lab.view import Table

PACKAGES = ("texlive-latex-base", "texlive-latex-recommended")
HEAD = r"""\documentclass{article}
\usepackage[utf8]{inputenc}\usepackage[T1]{fontenc}\usepackage{booktabs}\usepackage[margin=1cm,landscape]{geometry}
\begin{document}\tiny
"""
TABLES = (
    Table(
        "Table 99: 50 % of {all} & more_than $5, #1",
        ("", "n", "HPS v2: shapes_alignment", "printed", "p (Holm)", "<script> & 100 %"),
        (
            ("SDXL | Z-Sampling, ref_0_22", 200, Interval(0.86, 0.83, 0.9), "31.28 (!)", "1e-05", None),
            ("k = 1 > k = 2 ~ ^ \\ {x}", "no stand-in yet", None, None, "1", 0.5),
        ),
    ),
)


def why_not():
    """Why LaTeX cannot be run here; empty where it can. It is installed only where that is asked for."""
    if not shutil.which("pdflatex") and not asked_for("ZZ_TEST_LATEX"):
        return "pdflatex is not here; ZZ_TEST_LATEX=1 installs it by apt, as root"
    return lacking(["pdflatex"], PACKAGES)


def compiled(text, folder):
    (folder / "tables.tex").write_text(f"{HEAD}{text}\n\\end{{document}}\n", encoding="utf-8")
    words = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "tables.tex"]
    return subprocess.run(words, cwd=folder, capture_output=True, text=True, errors="replace")


def test_a_table_is_latex_with_all_that_is_special_escaped():
    (one,) = (frame.latex(view.table(table), table.title) for table in TABLES)
    assert r"\toprule" in one and r"shapes\_alignment" in one and r"100 \%" in one
    assert r"50 \% of \{all\} \& more\_than \$5, \#1" in one


@pytest.mark.ci
def test_the_tables_compile(tmp_path, cli, store_path):
    if said := why_not():
        pytest.skip(said)
    import zz.table

    assert cli("experiment=table_02,table_16", "scale=smoke")[0] == 0
    texts = [frame.latex(view.table(table), table.title) for table in TABLES]
    for name in ("table_02-smoke", "table_16-smoke"):
        code, out, _ = cli(f"name={name}", "format=latex", command=zz.table)
        assert code == 0
        texts.append(out)
    found = compiled("\n\\clearpage\n".join(texts), tmp_path)
    assert found.returncode == 0, found.stdout[-2000:]
    assert (tmp_path / "tables.pdf").stat().st_size > 10_000
