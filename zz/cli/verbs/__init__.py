"""What each command does, in a file of its name; loaded once there is something to do, for it loads torch."""
