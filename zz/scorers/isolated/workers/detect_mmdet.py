"""A worker that detects as GenEval does, by mmdet 2.28.2: detect_mmdet.py CHECKPOINT. Not run, for want of a GPU.

A request is {"picture": path, "masks": path}; the answer is a list of {"class": number in COCO's order, "score", "box":
[x0, y0, x1, y1]}, and the file `masks` (npz) has one boolean array for each, in their order, as "masks"  # (N, H, W)
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from protocol import serve

CONFIG = ".mim/configs/mask2former/mask2former_swin-s-p4-w7-224_lsj_8x2_50e_coco.py"


def load():
    import mmcv
    import mmdet
    import numpy as np
    import torch
    from mmdet.apis import inference_detector, init_detector

    config = str(Path(mmdet.__file__).parent / CONFIG)
    model = init_detector(config, sys.argv[1], device="cuda:0" if torch.cuda.is_available() else "cpu")

    def answer(request):
        boxes, segments = inference_detector(model, request["picture"])[:2]  # by class
        found, masks = [], []
        for kind, (rows, shapes) in enumerate(zip(boxes, segments)):  # noqa: B905 - Python 3.8
            for row, shape in zip(rows, shapes):  # noqa: B905
                found.append({"class": kind, "score": float(row[4]), "box": [float(x) for x in row[:4]]})
                masks.append(np.asarray(shape, dtype=bool))
        np.savez_compressed(request["masks"], masks=np.stack(masks) if masks else np.zeros((0, 1, 1), dtype=bool))
        return found

    return {"mmdet": mmdet.__version__, "mmcv": mmcv.__version__, "torch": torch.__version__}, answer


if __name__ == "__main__":
    serve(load)
