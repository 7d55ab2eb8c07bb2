"""TLS: certificates, who they speak for, and encrypted connections over the sockets of this package."""
