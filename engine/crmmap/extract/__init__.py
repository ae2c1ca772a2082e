"""From the world: HTTP client, logins, pages, files, databases, and the readers of all."""
