"""Weights for the world: a model repository on the Hugging Face Hub."""
