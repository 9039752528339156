"""How the demo pool and the tiny network are made, from packages anyone can install, and how the demo runs."""
