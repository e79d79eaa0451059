"""Find memories: modes, fusion, weights, diversity, the best of several texts."""
