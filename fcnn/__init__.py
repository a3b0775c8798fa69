"""Functional convolutional networks in JAX and Flax."""

from fcnn.models import create_model, list_models, summary

__all__ = ["create_model", "list_models", "summary"]
