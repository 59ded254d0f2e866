"""Run callbacks."""
