"""experiments/printed: the numbers of the paper as data, each once, with counts that give what is printed."""

import csv
import re
from collections import Counter
from decimal import ROUND_HALF_EVEN, ROUND_HALF_UP, Decimal
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parent.parent / "experiments" / "printed"
HEAD = ["row", "column", "value", "unit", "better", "count", "n", "where", "erratum"]
TABLES = [f"table_{number:02}" for number in range(1, 19)]
FILES = [*TABLES, "sentences", "guidance_matters"]

TYPED = [  # from the paper's text
    ("table_01", "SDXL | Standard", "Pick-a-Pic | HPS v2", "29.89"),
    ("table_01", "SD-2.1 | Resampling", "Pick-a-Pic | IR", "-18.07"),
    ("table_01", "DreamShaper-xl-v2-turbo | Z-Sampling", "DrawBench | PickScore", "22.35"),
    ("table_01", "Hunyuan-DiT | Z-Sampling", "DrawBench | IR", "96.13"),
    ("table_02", "Z-Sampling", "Overall", "57.04"),
    ("table_03", "Semantic-aware CFG", "Pick-a-Pic | IR", "2.03"),
    ("table_04", "AYS + Z-Sampling", "Pick-a-Pic | IR", "104.22"),
    ("table_05", "Diffusion-DPO", "Pick-a-Pic | AES", "5.60"),
    ("table_06", "Resampling", "HPS v2", "30.21"),
    ("table_07", "Z-Sampling", "FID-30K", "23.4958"),
    ("table_08", "DPO + Z-Sampling", "Color attribution", "29.00"),
    ("table_09", "SEG", "DrawBench | HPS v2", "29.60"),
    ("table_10", "CFG++", "DrawBench | IR", "62.66"),
    ("table_11", "Z-Sampling", "UMT-FVD", "243.26"),
    ("table_12", "k = 2", "IR", "84.53"),
    ("table_13", "Z-Sampling | gamma1 = 9.5", "Winning Rate", "92"),
    ("table_14", "SD-2.1 | Z-Sampling", "PickScore", "20.38"),
    ("table_15", "Standard Sampling | Euler", "IR", "41.44"),
    ("table_16", "End-to-End | gap = 0", "Approx Error tau_2", "160.3313"),
    ("table_17", "Step-by-Step | gap = 5.5", "PickScore", "21.85"),
    ("table_18", "s = 1.0", "IR", "28.74"),
    ("guidance_matters", "Z-Sampling", "Pick-a-Pic | omega_e", "13.51"),
    ("guidance_matters", "Z-Sampling", "DrawBench | winning rate over e-CFG", "60"),
    ("guidance_matters", "TDG", "Pick-a-Pic | winning rate over CFG", "57"),
    ("guidance_matters", "APG", "Pick-a-Pic | winning rate over e-CFG", "38"),
    ("sentences", "DreamShaper | Z-Sampling over Standard", "Winning rate HPS v2, up to", "94"),
    ("sentences", "SDXL | Z-Sampling against the best of Standard", "Less computational time", "36"),
]
NUMBERS = dict(zip(TABLES, [96, 21, 24, 32, 32, 12, 6, 21, 24, 24, 9, 20, 54, 27, 16, 6, 3, 12], strict=True))


def lines(name):
    with (FOLDER / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        head, *rest = csv.reader(file, strict=True)
    assert head == HEAD and all(len(line) == len(HEAD) for line in rest)
    return [dict(zip(HEAD, line, strict=True)) for line in rest]


def rounded(count, n, value):
    """count of n in percent to the decimals of value, by both rules for a five at the end."""
    places = Decimal(value).as_tuple().exponent
    return {
        (Decimal(100 * count) / n).quantize(Decimal(1).scaleb(places), rounding=rule)
        for rule in (ROUND_HALF_UP, ROUND_HALF_EVEN)
    }


def test_there_are_eighteen_tables_the_sentences_and_one_of_another_paper():
    assert sorted(path.stem for path in FOLDER.glob("*.csv")) == sorted(FILES)
    assert {name: len(lines(name)) for name in TABLES} == NUMBERS


@pytest.mark.parametrize("name", FILES)
def test_a_file_parses_and_holds_each_number_once(name):
    raw = (FOLDER / f"{name}.csv").read_bytes()
    assert b"\r" not in raw and raw.endswith(b"\n") and not raw.startswith(b"\xef\xbb\xbf")
    found = lines(name)
    assert max(Counter((line["row"], line["column"]) for line in found).values()) == 1
    for line in found:
        assert re.fullmatch(r"-?\d+(\.\d+)?", line["value"]), line
        assert line["better"] in ("", "higher", "lower") and line["row"] and line["column"], line
        assert all(text == text.strip() for text in line.values()), line
        assert line["where"] == f"Table {int(name[-2:])}" if name in TABLES else line["where"], line


@pytest.mark.parametrize("name", FILES)
def test_counts_give_the_printed_rates_and_no_other_count_does(name):
    for line in lines(name):
        if not line["count"]:
            assert not line["n"], line
            continue
        count, n, value = int(line["count"]), int(line["n"]), Decimal(line["value"])
        assert line["unit"] == "%" and 0 <= count <= n, line
        fits = [k for k in range(n + 1) if value in rounded(k, n, line["value"])]
        assert fits == [count] or (not fits and line["erratum"]), line


@pytest.mark.parametrize("name", ["table_02", "table_08"])
def test_the_counts_of_genevals_tags_give_the_printed_mean(name):
    for row in {line["row"] for line in lines(name)}:
        tags = [line for line in lines(name) if line["row"] == row and line["count"]]
        (overall,) = [line["value"] for line in lines(name) if line["row"] == row and line["column"] == "Overall"]
        mean = sum(Decimal(100 * int(line["count"])) / int(line["n"]) for line in tags) / 6
        assert len(tags) == 6 and sum(int(line["n"]) for line in tags) == 553
        assert mean.quantize(Decimal("0.01")) == Decimal(overall), row


@pytest.mark.parametrize(("name", "row", "column", "value"), TYPED)
def test_numbers_of_the_paper_are_found(name, row, column, value):
    assert [line["value"] for line in lines(name) if (line["row"], line["column"]) == (row, column)] == [value]


def test_each_table_with_an_erratum_is_in_the_readme():
    readme = (FOLDER / "README.md").read_text(encoding="utf-8")
    errata = readme.split("## Errata")[1].split("## Not printed")[0]
    named = set(re.findall(r"\d+", " ".join(re.findall(r"Tables? ([\d, and]+)", errata))))
    assert {str(int(name[-2:])) for name in TABLES if any(line["erratum"] for line in lines(name))} <= named
