"""What all models that diffusers loads have in common."""
