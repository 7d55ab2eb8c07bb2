"""The wire format: a message as bytes, a frame around it, and the handshake that a connection begins with."""
