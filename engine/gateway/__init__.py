"""The edge: sockets, handshakes and REST on one side, the compiled core on the other."""
