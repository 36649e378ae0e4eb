"""Model providers behind one small interface; the only importer of the `openai` SDK.

`types` is what the rest of the application sees, `providers` is where it gets a provider from, `tokens` counts.
"""
