"""Files in and out; nothing here knows of scores or networks."""
