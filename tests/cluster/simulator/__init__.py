"""Members of a cluster in virtual time over a virtual network, from one seed."""
