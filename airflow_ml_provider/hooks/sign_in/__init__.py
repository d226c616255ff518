"""How the backends sign in: for each cloud a module that makes a backend's arguments from its connection."""
