"""The documentation that a server serves: OpenAPI, its examples, and the page."""
