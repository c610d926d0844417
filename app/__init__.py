"""The web application: turns HTTP into engine calls, and results into JSON, events or HTML."""
