"""Where the files of weights are, of models and of scorers alike."""
