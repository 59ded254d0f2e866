"""What models that diffusers loads have in common."""
