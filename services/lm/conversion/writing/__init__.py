"""What the conversion writes: GGUF files, GGUF adapters, and folders of safetensors with an adapter merged in."""
