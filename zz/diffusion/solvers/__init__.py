"""Solvers: how to go from one node to the next, and back up."""
