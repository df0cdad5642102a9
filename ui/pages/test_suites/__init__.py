"""The page Suites: what each suite tests, where it comes from, its cases one by one, and imports."""
