"""A store as one HTML page: claims with their status, tables, and pairs of pictures at the same prompt and seed."""
