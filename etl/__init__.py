"""cio-etl."""
