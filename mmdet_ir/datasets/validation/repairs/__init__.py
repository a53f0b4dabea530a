"""Repairs that are certain."""
