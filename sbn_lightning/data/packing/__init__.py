"""Decoding images once into a packed store, and opening it."""
