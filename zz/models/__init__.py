"""Models: from prompts to conditions, from latents to predictions, from latents to pictures."""
