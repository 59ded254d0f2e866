"""Analysis: reads a manifest and what the store holds of it, and renders tables and plots. It makes no picture."""
