"""Benches: run.py is the program, every other file here measures one thing."""
