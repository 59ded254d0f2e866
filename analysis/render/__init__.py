"""Frames of intervals as Markdown, LaTeX and CSV."""
