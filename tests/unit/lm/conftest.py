import services.lm  # noqa: F401  (settles how compute threads wait, before a test module imports torch)
