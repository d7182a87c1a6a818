"""The native engine's Python half: a graph → a plan of steps and packed weights, which the C++ half executes."""
