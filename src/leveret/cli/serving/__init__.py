"""`leveret serve`: one server process, or workers that a supervisor keeps running."""
