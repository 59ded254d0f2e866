"""Clips for ChronoMagic-Bench's own judges, in the folders that they expect: FOLDER/MODEL/videoid.mp4.

Claim:   none; UMT-FVD and UMTScore are computed by that repository's programs, and read by scorers=[umt_score,umt_fvd]
Command: python -m zz.experiments.chronomagic.export STORE FOLDER
Cost:    that of copying the videos
"""

import argparse
import sys
from pathlib import Path

from zz.lab.exported import export
from zz.lab.results import Results
from zz.lab.store.atomic import StoreError
from zz.lab.store.manifest import find
from zz.lab.store.store import Store


def main(words: list[str] | None = None) -> int:
    """0, or 2 with one message."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store", help="of the run")
    parser.add_argument("folder", type=Path, help="for the clips; made if it is not there")
    parser.add_argument("--name", help="of the run; default: the last one's")
    given = parser.parse_args(words)
    try:
        store = Store(given.store)
        made = export(Results(store, find(store, given.name)), given.folder)
    except StoreError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    for model, n in made.items():
        print(f"{given.folder / model}: {n} clips")
    print(f"in that repository: MODEL_NAME={' or '.join(made)}, VIDEO_FOLDER={given.folder.resolve()}, TYPE=150")
    return 0


if __name__ == "__main__":
    sys.exit(main())
