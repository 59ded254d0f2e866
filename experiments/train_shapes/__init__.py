"""The recipe of the shapes model: a latent text-to-image model that is trained from nothing, on one core or one GPU."""
