"""Schedules: rules that pick nodes among a network's training levels."""
