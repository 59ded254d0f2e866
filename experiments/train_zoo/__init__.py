"""The zoo: small models of the shapes world in other architectures, each trained by one command."""
