"""The paper's Figure 7 in miniature, on the exact model: prompt log-odds against gamma2, with the controls."""

from zz.analysis.pages.gap import page
from zz.lab.experiment import Experiment, Layout

EXPERIMENT = Experiment(
    claim="the gain of zigzag shrinks as gamma2 approaches gamma1, and turns into a loss beyond it",
    common="model=mixture gamma1=2 controls=true dataset.repeats=4",
    cells=("steps=4,10,50 gamma2=0,0.5,1,1.5,2,2.5,3",),
    cost="48 cells of 224 pictures; about two minutes on two CPU cores",
    layout=Layout(scores=("log_odds", "atypicality")),
    page=page,
)
