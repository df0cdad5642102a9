"""Files of other hosts over HTTP: in parallel parts, resumed after a kill, and never visible before they are whole."""
