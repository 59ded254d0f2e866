"""Metrics of clips."""
