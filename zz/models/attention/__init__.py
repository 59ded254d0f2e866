"""Attention, watched and tapped."""
