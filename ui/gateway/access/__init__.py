"""Who may do what: the door in front of all routes, pages and files, and the accounts that it knows."""
