"""python -m zz.scorers.isolated NAME [FOLDER]: make the environment of a worker. Without a name: what there is."""

import sys

from zz.scorers.isolated import environments


def main() -> int:
    """Returns the exit code."""
    words = sys.argv[1:]
    if not words or words[0].startswith("-") or len(words) > 2:
        known = ", ".join(environments.NAMES)
        sys.stdout.write(f"python -m zz.scorers.isolated NAME [FOLDER]\nmakes an environment; NAME: {known}\n")
        return 0 if words in ([], ["--help"], ["-h"]) else 2
    try:
        place = environments.create(*words)
    except (ValueError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    sys.stdout.write(f"{words[0]} is ready in {place}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
