"""The command line of the multi-Region key provisioner, for whoever uses a deployed stack."""
