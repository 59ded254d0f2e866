"""The laboratory: what has been made, what is missing, and how to make it."""
