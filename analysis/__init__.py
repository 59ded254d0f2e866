"""Analysis: reads the store only, and draws."""
