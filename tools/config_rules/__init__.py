"""What the configs of each kind of family look like, for write_configs.py."""
