"""What has been made: files, and an index of them."""
