"""What the commands share: Hydra, argv and the terminal. Nothing below knows them."""
