"""Tests against real servers: llama.cpp itself, on a tiny random model or on Gemma."""
