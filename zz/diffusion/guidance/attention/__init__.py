"""Guidance that reaches into the attention of the network."""
