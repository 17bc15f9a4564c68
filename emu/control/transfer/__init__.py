"""The KV-transfer protocol as tables and cores. No sockets, and no time of its own."""
