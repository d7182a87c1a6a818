"""How small and how large a model's input may be."""

from __future__ import annotations

# Below, the deepest stage has no pixels left to pool (five halvings); above, the maps of one picture take gigabytes.
SMALLEST_SIDE, LARGEST_SIDE = 32, 1024
LARGEST_BATCH = 1024
