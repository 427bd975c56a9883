"""The JSON Schemas, their validators, and the issues that these find."""
