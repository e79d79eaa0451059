"""Text to terms, for all stores alike, so that KEYWORD finds the same everywhere."""

from memplane_gateway.analysis.analyzer import LANGUAGES, MAX_QUERY_TERMS, Analyzer

__all__ = ["LANGUAGES", "MAX_QUERY_TERMS", "Analyzer"]
