"""Finding, downloading and checking files of weights, for models and for scorers."""
