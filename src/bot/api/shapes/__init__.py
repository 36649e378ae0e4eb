"""What several resources show or take: each shape has its home here, so that no resource imports another."""
