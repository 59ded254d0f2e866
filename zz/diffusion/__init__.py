"""The mathematics of sampling: torch and math only. It knows no weights, paths, prompts or devices."""
