"""Guidance: from what a network says with and without the prompt, to one prediction."""
