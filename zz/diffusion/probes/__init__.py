"""Probes: what is measured along a trajectory, without moving it."""
