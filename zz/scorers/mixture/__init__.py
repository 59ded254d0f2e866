"""Scores of the exact model, from its formula."""
