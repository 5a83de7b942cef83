"""Supervised fine-tuning of any Hugging Face model on a file of traces, with verl's own SFT trainer."""
