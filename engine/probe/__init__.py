"""Attaches to anyone's ``nn.Module`` while it trains, and records what happens inside."""
