"""What people look at: the front as a table, the live view of a search, and the HTML report."""
