"""The networks that ship: trunks from timm, pooling, head, and their checkpoints."""
