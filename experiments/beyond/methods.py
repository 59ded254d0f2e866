"""Every sampler and guidance on the shapes model, alone and with zigzag, beside standard sampling for the same work.

On the first 200 prompts, at 20 steps and at 4; the best of these, with controls, on all.
"""

from zz.analysis.pages.methods import page
from zz.lab.experiment import Experiment, Layout

BOTH = "gamma1=4,2"  # the best for standard sampling, and for zigzag
MORE_STEPS = "steps=2,7,10,30,40,60,100"  # what standard sampling makes of more work
NOISY = "solver=euler_ancestral"
PAIR = "sampler=zigzag,guidance_matched"

GUIDANCES = (
    *(f"guidance={name} sampler=standard,zigzag {BOTH}" for name in ("cfg", "seg", "pag", "sag")),
    f"guidance=scfg guidance.reduction=1 sampler=standard,zigzag {BOTH}",  # its maps are as small as the network's
    f"guidance=interval sampler=standard,zigzag {BOTH}",
    f"guidance.rescale=0.7 sampler=standard,zigzag {BOTH}",
    "guidance=cfgpp sampler=standard,zigzag gamma1=0.2,0.4,0.8",
    f"guidance=apg,cfg_zero_star,tcfg,mambo,fdg sampler=standard,zigzag {BOTH}",
    f"guidance=tpg guidance.first=0 guidance.scale=1 sampler=standard,zigzag {BOTH}",
)
SAMPLERS = (
    f"sampler=implicit_zigzag sampler.gap=own,last {BOTH}",
    f"sampler=fixed_point,end_to_end,guidance_matched {BOTH}",
    f"sampler=resampling sampler.resamples=1,2 {BOTH}",
    f"sampler=repaint sampler.jump=2 sampler.passes=2,4 {BOTH}",
    f"sampler=free_init sampler@sampler.inner=standard,zigzag {BOTH}",
    f"sampler=reflection gamma2=1 weak.prompt='a photo' {BOTH}",
    f"sampler=standard,zigzag solver=euler_ancestral,euler_ancestral_stored {BOTH}",
    f"sampler=standard,zigzag solver=dpmpp_2m {BOTH}",
    f"sampler=fsg sampler.interval=walked,as_run sampler.scale=0.6 {BOTH}",
    f"sampler=repeated {BOTH}",
    "sampler=repeated sampler.final=cfgpp sampler.scale=0.2,0.4",
    f"sampler=rf_sampling guidance=text_mix guidance.high=1 guidance.low=-0.5 {BOTH}",
)
INGREDIENTS = (  # each field of a zigzag, beside the guidance that it amounts to
    "sampler=standard,zigzag,guidance_matched gamma1=1.5,2,3,4,6",
    f"{PAIR} gamma1=2,4 gamma2=1,2",
    f"{PAIR} gamma1=2 rounds=2",
    f"{PAIR} gamma1=2 k=2",
    "sampler=zigzag gamma1=2 inversion=ref_0_22",
    f"sampler=guidance_matched {NOISY} {BOTH}",
)
BEST = (  # the best at 20 steps, on all prompts, with standard sampling for as much work
    f"sampler=standard,zigzag,guidance_matched {NOISY} {BOTH} steps=20",
    f"sampler=zigzag solver=euler_ancestral_stored {BOTH} steps=20",
    f"sampler=repaint sampler.jump=2 sampler.passes=2,4 {BOTH} steps=20",
    f"sampler=implicit_zigzag {BOTH} steps=20",
    f"sampler=standard solver=ddim,euler_ancestral {BOTH} steps=7,10,40,50",
    f"sampler=standard {NOISY} {BOTH} steps=75",
)

EXPERIMENT = Experiment(
    claim="zigzag composes with what others have found, and its gain is its guidance gap (to be tested)",
    common="model=shapes scorers=[shapes_correct,shapes_strict,shapes_alignment,shapes_similarity,cleanliness,"
    "shapes_fd,shapes_diversity]",
    cells=(
        *(f"{line} steps={T} limit=200" for T in (4, 20) for line in (*GUIDANCES, *SAMPLERS, *INGREDIENTS)),
        f"{PAIR} gamma1=2 lambda=1,2 steps=4 limit=200",
        f"{PAIR} gamma1=2 lambda=1,2,5,10 steps=20 limit=200",
        f"sampler=standard {BOTH} {MORE_STEPS} limit=200",
        *BEST,
    ),
    cost="about two and a half hours on one CPU core with runner.precision=bf16",
    layout=Layout(scores=("shapes_correct", "shapes_alignment", "shapes_fd")),
    page=page,
)
