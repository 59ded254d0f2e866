"""A worker that scores by the package image-reward: score_image_reward.py CHECKPOINT MED_CONFIG.

It runs in the environment of that name. The package asks the hub for the tokenizer of bert-base-uncased.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from protocol import serve


def load():
    from importlib.metadata import version

    import ImageReward
    import torch

    model = ImageReward.load(sys.argv[1], med_config=sys.argv[2])

    @torch.no_grad()
    def answer(request):
        return float(model.score(request["prompt"], request["picture"]))

    return {"image-reward": version("image-reward"), "torch": torch.__version__}, answer


if __name__ == "__main__":
    serve(load)
