"""A Weights & Biases workspace and report of what `logger=wandb` sent: the same sections in both.

Winning rates by model, scores over each field that was swept with their intervals, pairs of pictures, curves along the
trajectory, cost. Built of what the store knows, so that every panel names a number that is there.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import wandb_workspaces.reports.v2.interface as wr
import wandb_workspaces.workspaces.interface as ws
from wandb_workspaces import expr

from zz.lab.loggers import history
from zz.lab.results import Results
from zz.lab.store.manifest import ROLES

WIDTH = 24  # of a report, in its own units
TALL, HALF = 10, WIDTH // 2


class Part(NamedTuple):
    """One section: a line on what it shows, and its panels."""

    name: str
    says: str
    panels: list[Any]


def parts(results: Results) -> list[Part]:
    """What there is to show of a manifest."""
    comparisons, rows = results.comparisons(), results.manifest.rows
    scores = [name for name, about in results.metrics.items() if about["kind"] == "image"]
    roles = [role for role in ROLES if any(c.role == role for c in comparisons)]
    won = dict.fromkeys((c.score, c.role) for c in comparisons)
    found = [
        Part(
            "Winning rates",
            "Pairs of pictures at the same prompt and seed; a tie is half a win. The intervals stand in the table.",
            [_bars(f"wins in {score} against {role}", f"winning/{score}/{role}") for score, role in won]
            + ([_table("winning")] if won else []),
        ),
        Part(
            "Scores",
            "The mean over the prompts of each row; set metrics are of all of a row's pictures.",
            [_bars(name, f"score/{name}", "role") for name in results.metrics] + [_table("cells")],
        ),
        Part(
            "Sweeps",
            "Each field over which rows differ, all else equal: the estimate between the ends of its 95 % interval.",
            [
                _curve(f"{quantity} over {label}", f"over {label}/{label.split(' (')[0]}", f"over {label}/{quantity}")
                for label, points in history.sweeps(results)
                for quantity in _quantities(points, scores, roles)
            ],
        ),
        Part(
            "Along the trajectory",
            "Means over pictures by step of sampling: the terms of the theorems, and the effective guidance.",
            [
                _curve(name, "sampling_step", f"trajectory/{name}", grouped=False)
                for name in dict.fromkeys(
                    name.split("/")[1]
                    for row in rows
                    for line in history.curves(results, row)[:1]
                    for name in line
                    if "/" in name and name.count("/") == 1
                )
            ],
        ),
        Part(
            "Pictures",
            "The same prompt and seed by the row's sampler and by its controls.",
            [
                wr.MediaBrowser(title="side by side", media_keys=["pictures"], num_columns=5),
                wr.WeavePanelSummaryTable(table_name="pairs"),
            ]
            if any(row.role == "asked" and results.there(row) for row in rows)
            else [],
        ),
        Part(
            "Cost",
            "Network evaluations an image against each score, and how fast images were made.",
            [
                wr.ScatterPlot(
                    title=f"{name} and its cost",
                    x=wr.SummaryMetric("cost/evals"),
                    y=wr.SummaryMetric(f"score/{name}"),
                    legend_template="${run:displayName}",
                )
                for name in scores
            ]
            + [
                _bars("network evaluations an image", "cost/evals", "role"),
                _bars("seconds an image", "cost/seconds", "role"),
                wr.LinePlot(title="images a second", x="images", y=["throughput/images_per_second"]),
                wr.LinePlot(title="peak memory, GB", x="images", y=["memory/peak_gb"]),
            ],
        ),
    ]
    return [part for part in found if part.panels]


def workspace(name: str, entity: str, project: str, some: Sequence[Part]) -> ws.Workspace:
    """The workspace, of the runs of one group."""
    sections = [ws.Section(name=part.name, panels=part.panels, is_open=n < 3) for n, part in enumerate(some)]
    runs = ws.RunsetSettings(filters=expr.And(expr.Metric("Group") == name), groupby=[expr.Metric("JobType")])
    return ws.Workspace(entity=entity, project=project, name=name, sections=sections, runset_settings=runs)


def report(name: str, entity: str, project: str, some: Sequence[Part], says: Sequence[str]) -> wr.Report:
    """The report: what was claimed and found, then each section. says: lines of text at its head"""
    blocks: list[Any] = [wr.TableOfContents(), *(wr.P(line) for line in says)]
    for part in some:
        runs = wr.Runset(name=name, filters=expr.And(expr.Metric("Group") == name))
        blocks += [wr.H2(part.name), wr.P(part.says), wr.PanelGrid(runsets=[runs], panels=_placed(part.panels))]
    return wr.Report(entity=entity, project=project, title=name[:128], blocks=blocks, width="fluid")


def preview(space: ws.Workspace, text: wr.Report) -> str:
    """Both as the JSON that would be saved."""
    shown = [model.model_dump_json(by_alias=True, exclude_none=True) for model in (space._to_model(), text._to_model())]
    return f'{{"workspace": {shown[0]}, "report": {shown[1]}}}'


def _quantities(points: Sequence[history.Numbers], scores: Sequence[str], roles: Sequence[str]) -> list[str]:
    names = list(scores)
    names += [f"winning/{score}/{role}" for score in scores for role in roles]
    return [name for name in names if any(name in point for point in points)]


def _bars(title: str, metric: str, by: str = "model") -> wr.BarPlot:
    return wr.BarPlot(title=title, metrics=[wr.SummaryMetric(metric)], groupby=wr.Config(by), orientation="h")


def _curve(title: str, x: str, y: str, grouped: bool = True) -> wr.LinePlot:
    bounds = [f"{y}/low", f"{y}/high"] if grouped else []
    return wr.LinePlot(title=title, x=x, y=[y, *bounds], title_x=x.rpartition("/")[2])


def _table(name: str) -> wr.WeavePanelSummaryTable:
    return wr.WeavePanelSummaryTable(table_name=f"tables/{name}")


def _placed(panels: Sequence[Any]) -> list[Any]:
    """Two beside each other in a report."""
    for n, panel in enumerate(panels):
        panel.layout = wr.Layout(x=n % 2 * HALF, y=n // 2 * TALL, w=HALF, h=TALL)
    return list(panels)


__all__ = ["Part", "parts", "preview", "report", "workspace"]
