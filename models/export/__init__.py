"""Everything generated from the declarations: documentation, and data models for other tools."""
