"""A reference evaluator of Core ML's ML Programs: reads a saved .mlpackage and computes it on any machine.

Right about numbers, silent about time. What it cannot see is said in `BLIND_TO`, wherever its figures stand
(docs/decisions/0008-core-ml-reference.md).
"""

BLIND_TO = "Neural Engine accumulation, op placement and compiler rewrites"
