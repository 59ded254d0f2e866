"""The exact judge of the shapes world."""
