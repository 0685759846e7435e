"""The record: events and readings become signed blocks that anyone can check."""
