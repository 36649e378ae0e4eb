"""What is derived from the declarations: documentation, and models for other tools. Nothing is kept by hand twice."""
