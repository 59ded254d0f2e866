"""Scorers by their authors' own packages, each in a worker process with an environment of its own."""
