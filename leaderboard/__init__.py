"""Protocols, ranking, results, tables."""
