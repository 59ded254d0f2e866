"""Measurements: probes asked for by name, run by the workers on chosen prompts, stored by picture and step."""
