"""Protocols, ranking, the result store, tables, the report, and ranking a gallery for one tracklet."""
