"""Pages of documentation that are made of results: one file an experiment."""
