"""GenEval: rules, detectors, a judge of colours, and the summary."""
