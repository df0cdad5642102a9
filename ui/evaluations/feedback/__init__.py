"""What people say of answers: REST routes, commands and the page."""
