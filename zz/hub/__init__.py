"""Finding, downloading and checking files: weights of models and of scorers, prompt files."""
