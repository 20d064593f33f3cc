"""Registers OAuth applications in DeepLynx Nexus and keeps their credentials in Vault."""

__version__ = "0.1.0"
