"""One method per RPC, in the terms of the domain, one file per noun."""
