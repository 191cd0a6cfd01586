"""`mrk verify`: makes key sets with a deployed stack and compares AWS with what we believe."""
