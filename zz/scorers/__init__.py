"""Scorers: from an image and its prompt to a number."""
