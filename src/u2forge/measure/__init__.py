"""8b. IS IT FAST? Candidates in processes of their own, in turn, → times with their spread, and what ran."""
