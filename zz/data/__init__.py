"""Prompts and where they come from. It knows no networks."""
