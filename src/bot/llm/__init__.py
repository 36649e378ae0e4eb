"""Model providers behind one small interface; the only importer of the `openai` SDK.

`types` has the interface, `providers` returns a provider by name, `tokens` counts tokens.
"""
