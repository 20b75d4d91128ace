"""Static INT8 of the trunk: one quantised graph, and the search for the plan that keeps micro-AP."""
