"""The KV-transfer protocol as tables and cores. No sockets, no time of its own."""
