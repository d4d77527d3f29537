"""Programs that people run by hand: the cost table, the SBOM, deleting a stack, and the generators of docs."""
