"""Experiments beyond the paper's tables: what zigzag is made of, and every method beside it."""
