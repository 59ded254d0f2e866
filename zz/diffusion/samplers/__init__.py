"""Samplers: a loop over steps. One method, one page."""
