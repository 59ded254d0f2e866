"""The scoring pass."""
