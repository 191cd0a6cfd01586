"""`mrk console`: the guide's console procedure for whole key sets, as a page on loopback."""
