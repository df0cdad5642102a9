"""Versions in the form of GGUF files, served by llama.cpp's server as a child process."""
